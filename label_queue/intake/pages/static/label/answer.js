/** An answer in the making: what was chosen so far, and what it still lacks. */

import { codePoints, utf16Offset } from "../shared/inert_text.js";
import { say } from "../shared/words.js";

/**
 * @typedef {{candidate_id: string, text: string}} Candidate
 * @typedef {{assignment_id: string, run_id: string, kind: "pair" | "best_of_k" | "ranking",
 *   prompt: import("../shared/prompt_text.js").Prompt, candidates: Candidate[]}} Task
 * @typedef {{id: string, start: number, end: number, mark: "good" | "bad"}} Mark UTF-16 offsets
 * @typedef {{outcome: string | null, reason: string | null, comment: string | null}} Said
 */

/** @type {Said} */
const NOTHING = { outcome: null, reason: null, comment: null };

/** What one person says about one task. */
export class Answer {
  /** @type {string | null} */
  outcome = null;
  /** @type {string | null} */
  choice = null;
  /** @type {string[]} */
  ranking = [];
  /** @type {number | null} */
  strength = null;
  /** @type {Mark[]} */
  marks = [];
  revision = 0;
  /** What was said with the outcome of the answer that this one replaces. */
  before = NOTHING;
  shownAt = Date.now() / 1000;
  /** @type {number | null} */
  firstActionAt = null;
  /** Active time before it was put aside, in milliseconds. */
  activeBeforeMs = 0;
  /** Whether all of the texts was shown. */
  isUnfolded = false;

  /** @param {Task} task */
  constructor(task) {
    this.task = task;
  }

  /**
   * Return an answer that starts from one given before and replaces it.
   * @param {Task} task
   * @param {any} before a LabelSubmission
   */
  static revising(task, before) {
    const answer = new Answer(task);
    answer.outcome = before.outcome;
    answer.choice = before.choice;
    answer.ranking = [...(before.ranking ?? [])];
    answer.strength = before.strength;
    answer.revision = before.revision + 1;
    answer.before = { outcome: before.outcome, reason: before.reason ?? null, comment: before.comment ?? null };
    for (const span of before.spans ?? []) {
      const text = answer.textOf(span.candidate_id);
      answer.marks.push({
        id: span.candidate_id,
        start: utf16Offset(text, span.start),
        end: utf16Offset(text, span.end),
        mark: span.mark,
      });
    }
    return answer;
  }

  /**
   * Return an answer that goes on from one that was made into JSON.
   * @param {Task} task
   * @param {Partial<Answer>} begun
   */
  static goingOn(task, begun) {
    return Object.assign(new Answer(task), begun, { task });
  }

  /** @param {string} id */
  textOf(id) {
    return this.task.candidates.find((candidate) => candidate.candidate_id === id)?.text ?? "";
  }

  /** Note that something was done. */
  act() {
    this.firstActionAt ??= Date.now() / 1000;
  }

  /**
   * Choose a candidate; in a ranking, put it next or take it out again.
   * @param {string} id
   */
  choose(id) {
    this.act();
    if (this.task.kind !== "ranking") {
      this.outcome = "choice";
      this.choice = id;
      return;
    }
    if (this.ranking.includes(id)) this.ranking = this.ranking.filter((ranked) => ranked !== id);
    else this.ranking.push(id);
    this.outcome = this.ranking.length === this.task.candidates.length ? "ranking" : null;
  }

  /**
   * Say that none is best.
   * @param {"tie" | "both_bad"} outcome
   */
  settle(outcome) {
    this.act();
    this.takeBack(true);
    this.outcome = outcome;
  }

  /**
   * Take back the choice, or the last place of a ranking.
   * @param {boolean} [all]
   */
  takeBack(all = false) {
    this.act();
    if (all) this.ranking = [];
    else this.ranking.pop();
    this.outcome = null;
    this.choice = null;
    this.strength = null;
  }

  /**
   * Make the preference stronger or weaker, from none to far.
   * @param {1 | -1} step
   */
  strengthen(step) {
    if (this.outcome !== "choice") return;
    const next = Math.max(0, Math.min(4, (this.strength ?? 0) + step));
    this.strength = next === 0 ? null : next;
  }

  /**
   * Mark characters; what is marked there already gives way.
   * @param {string} id
   * @param {number} start
   * @param {number} end
   * @param {"good" | "bad"} mark
   */
  mark(id, start, end, mark) {
    this.act();
    this.unmark(id, start, end);
    this.marks.push({ id, start, end, mark });
  }

  /**
   * Remove all marks that touch these characters.
   * @param {string} id
   * @param {number} start
   * @param {number} end
   */
  unmark(id, start, end) {
    this.marks = this.marks.filter((m) => m.id !== id || m.end <= start || m.start >= end);
  }

  /** What is still to do before it can be confirmed, in words; empty if nothing. */
  get lacks() {
    if (this.outcome !== null) return "";
    if (this.task.kind !== "ranking") return say("hint.choose");
    const count = this.task.candidates.length - this.ranking.length;
    return this.ranking.length === 0 ? say("hint.best_first") : say("hint.more_to_rank", { count });
  }

  /**
   * Return what was said before with this outcome; with another, it does not hold.
   * @param {string | null} outcome
   */
  saidOf(outcome) {
    return outcome === this.before.outcome ? this.before : NOTHING;
  }

  /**
   * Return the body to send.
   * @param {number} activeMs since it was last put on the page
   * @param {{outcome?: "skip" | "flag", reason?: string}} [aside]
   */
  submission(activeMs, { outcome, reason } = {}) {
    this.act();
    const now = Date.now() / 1000;
    const isAside = outcome !== undefined;
    const said = this.saidOf(outcome ?? this.outcome);
    const spans = this.marks.map(({ id, start, end, mark }) => {
      const text = this.textOf(id);
      return { candidate_id: id, start: codePoints(text, start), end: codePoints(text, end), mark };
    });
    return {
      assignment_id: this.task.assignment_id,
      run_id: this.task.run_id,
      revision: this.revision,
      outcome: outcome ?? this.outcome,
      choice: isAside ? null : this.choice,
      ranking: isAside || this.outcome !== "ranking" ? null : this.ranking,
      strength: isAside ? null : this.strength,
      spans: spans.length === 0 ? null : spans,
      reason: (isAside ? reason : said.reason) || null,
      comment: said.comment,
      shown_at: this.shownAt,
      first_action_at: this.firstActionAt,
      submitted_at: now,
      active_ms: Math.min(this.activeBeforeMs + activeMs, 86_400_000),
    };
  }
}
