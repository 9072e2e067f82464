/**
 * A prompt as people read it: one text, or a chat's turns under the names of who speaks.
 *
 * A long chat is folded as a long text is: turns beyond the first screenful, and the rest of a long
 * turn, appear when somebody asks for all of it. What is of a long text says above where it stands there.
 */

import { element, giveWay, meta } from "./dom.js";
import { FOLD_CHARS, InertText } from "./inert_text.js";
import { outline } from "./text_node.js";
import { say } from "./words.js";

/**
 * @typedef {{role: string, content: string}} Message
 * @typedef {{text: string, messages: Message[], language: string,
 *   node: import("./text_node.js").TextNode | null}} Prompt
 */

const SPEAKERS = new Map([
  ["system", "speaker.system"],
  ["user", "speaker.user"],
  ["assistant", "speaker.assistant"],
  ["tool", "speaker.tool"],
]);

/**
 * Return the language of a prompt and the responses to it; "" where it is not known.
 * @param {Prompt} prompt
 */
export function languageOf(prompt) {
  return prompt.language || meta("andon-prompt-language");
}

/**
 * Return how many turns are shown at first: at least one, and all of a short chat.
 * @param {Message[]} messages
 */
function numShownAtFirst(messages) {
  let room = FOLD_CHARS;
  let count = 0;
  for (const message of messages) {
    if (count > 0 && message.content.length > room) break;
    // However short a turn is, its place and name take a line or two.
    room -= Math.max(message.content.length, FOLD_CHARS / 20);
    count += 1;
  }
  return count;
}

/** One prompt on the page. */
export class PromptText {
  /** @type {InertText[]} */
  #texts = [];
  /** @type {Message[]} */
  #hidden = [];
  #list = element("ol", { class: "turns" });
  /** @type {HTMLElement | null} */
  #button = null;

  /**
   * @param {HTMLElement} place is emptied and filled
   * @param {Prompt} prompt
   * @param {string} [heading] the element that names each speaker, below the heading of the prompt
   * @param {() => void} [onUnfold] called when more of it is shown
   */
  constructor(place, prompt, heading = "h3", onUnfold = () => {}) {
    this.heading = heading;
    this.language = languageOf(prompt);
    this.onUnfold = onUnfold;
    this.#show(place, prompt);
    if (prompt.node) place.prepend(outline(prompt.node));
  }

  /**
   * @param {HTMLElement} place
   * @param {Prompt} prompt
   */
  #show(place, prompt) {
    if (prompt.messages.length === 0) {
      this.#texts = [new InertText(place, prompt.text, this.language, this.onUnfold)];
      return;
    }
    const count = numShownAtFirst(prompt.messages);
    this.#hidden = prompt.messages.slice(count);
    for (const message of prompt.messages.slice(0, count)) this.#add(message);
    place.replaceChildren(this.#list);
    if (this.#hidden.length > 0) {
      const button = element(
        "button",
        { type: "button", class: "fold small", onclick: () => this.showAll() },
        say("fold.turns", { count: prompt.messages.length }),
        element("kbd", {}, "a"),
      );
      place.append(button);
      this.#button = button;
    }
  }

  /** @param {Message} message */
  #add({ role, content }) {
    const place = element("div", {});
    const name = SPEAKERS.get(role);
    const speaker = element(this.heading, { class: "speaker" }, name === undefined ? role : say(name));
    this.#list.append(element("li", { class: "turn", "data-role": role }, speaker, place));
    this.#texts.push(new InertText(place, content, this.language, this.onUnfold));
  }

  /** Whether some of it was not shown yet. */
  get isFolded() {
    return this.#hidden.length > 0 || this.#texts.some((text) => text.isFolded);
  }

  /** Unfold. */
  showAll() {
    if (!this.isFolded) return;
    for (const message of this.#hidden) this.#add(message);
    this.#hidden = [];
    if (this.#button !== null) giveWay(this.#button, this.#list);
    for (const text of this.#texts) text.showAll();
    this.onUnfold();
  }
}
