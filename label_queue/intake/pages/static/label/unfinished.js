/**
 * What was not finished when the page went away, by a refresh or by the choice of another language,
 * or when the session ended. It is kept in the tab's own storage, and goes on where the server still
 * holds the task for this labeler.
 */

import { Answer } from "./answer.js";
import { read, remove, write } from "./storage.js";

/**
 * @typedef {object} Begun
 * @property {string} id of the assignment
 * @property {Partial<Answer>} answer
 * @property {import("./answer.js").Task | null} task of a change of the last answer, whose task the
 *   server holds no more
 */

/**
 * @param {Answer | null} answer
 * @param {number} activeMs
 * @returns {Begun | null}
 */
function begun(answer, activeMs) {
  if (answer === null) return null;
  const { task, ...rest } = answer;
  return {
    id: task.assignment_id,
    answer: { ...rest, activeBeforeMs: rest.activeBeforeMs + activeMs },
    task: rest.revision > 0 ? task : null,
  };
}

/** The answers of the page before this one. */
export class Unfinished {
  /** The change of the last answer that was under way. @type {Answer | null} */
  revision = null;
  /** @type {Map<string, Partial<Answer>>} */
  #begun = new Map();

  /** @param {string} key of the storage: one for each run and labeler */
  constructor(key) {
    this.key = key;
    /** @type {Begun[]} */
    const kept = JSON.parse(read("tab", key) ?? "[]");
    remove("tab", key);
    for (const { id, answer, task } of kept) {
      if (task === null) this.#begun.set(id, answer);
      else this.revision = Answer.goingOn(task, answer);
    }
  }

  /**
   * Return the answer to a task: what was begun of it, else a new one.
   * @param {import("./answer.js").Task} task
   */
  answerTo(task) {
    const begun = this.#begun.get(task.assignment_id) ?? {};
    this.#begun.delete(task.assignment_id);
    return Answer.goingOn(task, begun);
  }

  /**
   * Keep the answer on the page, and the one put aside for it.
   * @param {(Answer | null)[]} answers
   * @param {number} activeMs since the first of them was put on the page
   */
  keep([onPage, putAside], activeMs) {
    const kept = [begun(onPage, activeMs), begun(putAside, 0)].filter((each) => each !== null);
    write("tab", this.key, JSON.stringify(kept));
  }
}
