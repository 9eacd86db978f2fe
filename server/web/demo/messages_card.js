/** Messages: thanks to the room, private ones, and the room's mood. */
import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { repeat } from "../vendor/lit-html/directives/repeat.js";
import { live } from "../vendor/lit-html/directives/live.js";

const KEPT_MAX = 50;
const TEXT_MAX = 1000;
const MOODS = ["happy", "excited", "neutral", "sad", "anxious", "angry"];

export class MessagesCard {
  #client;
  #get;
  #post;
  #put;
  #changed;
  #say;
  /** Newest first; each id once, however often it comes. */
  #shown = [];
  /** Ids of public messages that are meant for this member. */
  #wanted = new Set();
  #unread = new Set();
  #mood = null;
  #replyTo = null;

  /**
   * @param {object} options
   * @param {import("../sdk/client.js").TiproomClient} options.client
   * @param {(path: string) => Promise<any>} options.get
   * @param {(path: string, body: object) => Promise<any>} options.post
   * @param {(path: string, body: object) => Promise<any>} options.put
   * @param {() => void} options.changed
   * @param {(text: string | null) => void} options.say
   */
  constructor({ client, get, post, put, changed, say }) {
    this.#client = client;
    this.#get = get;
    this.#post = post;
    this.#put = put;
    this.#changed = changed;
    this.#say = say;
    client.addEventListener("publicMessage", ({ detail }) => this.#take(detail, false));
    client.addEventListener("privateMessage", ({ detail }) => this.#take(detail, true));
    client.addEventListener("receiptWanted", ({ detail }) => this.#want(detail.messageId));
    client.addEventListener("moodChanged", ({ detail }) => this.#setMood(detail.mood));
    client.addEventListener("snapshot", () => this.#readMood());
    document.addEventListener("visibilitychange", () => this.#tellRead());
  }

  #take(message, isPrivate) {
    if (!this.#shown.some(({ messageId }) => messageId === message.messageId)) {
      this.#shown = [{ ...message, isPrivate }, ...this.#shown].slice(0, KEPT_MAX);
      if (isPrivate && this.#isModel) this.#replyTo ??= message;
      this.#changed();
    }
    if (isPrivate || this.#wanted.has(message.messageId)) this.#receive(message.messageId);
  }

  /** May come before its message: then it is received with that. */
  #want(messageId) {
    this.#wanted.add(messageId);
    if (this.#shown.some((each) => each.messageId === messageId)) this.#receive(messageId);
  }

  #receive(messageId) {
    this.#wanted.delete(messageId);
    this.#client.tell({ type: "messageDelivered", messageId });
    this.#unread.add(messageId);
    this.#tellRead();
  }

  /** Seen is what stands on a page that is seen. */
  #tellRead() {
    if (document.visibilityState !== "visible") return;
    for (const messageId of this.#unread) this.#client.tell({ type: "messageRead", messageId });
    this.#unread.clear();
  }

  async #readMood() {
    const { mood } = await this.#get(`/rooms/${this.#client.room.roomId}/mood`).catch(() => ({}));
    if (mood !== undefined) this.#setMood(mood);
  }

  #setMood(mood) {
    this.#mood = mood;
    this.#changed();
  }

  get #isModel() {
    return this.#client.self?.role === "model";
  }

  async #chooseMood(mood) {
    this.#say(null);
    const { roomId } = this.#client.room;
    await this.#put(`/rooms/${roomId}/mood`, { mood }).catch((error) => this.#say(error.message));
    this.#changed();
  }

  async #send(event) {
    event.preventDefault();
    const form = event.target;
    const content = new FormData(form).get("content");
    const recipientId = this.#isModel ? this.#replyTo.authorId : this.#client.room.modelId;
    this.#say(null);
    try {
      await this.#post("/mood-messages", { recipientId, content, requestId: crypto.randomUUID() });
      form.reset();
    } catch (error) {
      this.#say(error.message);
    }
  }

  template() {
    const room = this.#client.room;
    return html`
      <section class="card" aria-labelledby="messages-title">
        <div class="card-head">
          <h2 id="messages-title">Messages</h2>
          ${this.#mood === null ? nothing : this.#moodTemplate(room)}
        </div>
        ${this.#shown.length === 0 ? html`<p class="empty">No messages yet.</p>` : nothing}
        <div class="feed" role="log" aria-labelledby="messages-title" tabindex="0">
          <ol class="rows" data-testid="messages">
            ${repeat(
              this.#shown,
              ({ messageId }) => messageId,
              (message) => this.#messageTemplate(message),
            )}
          </ol>
        </div>
        ${room === null || (this.#isModel && this.#replyTo === null) ? nothing : this.#form(room)}
      </section>
    `;
  }

  #messageTemplate({ authorName, content, isPrivate, messageId }) {
    return html`
      <li data-private=${String(isPrivate)} data-message=${messageId}>
        <span class="grow"
          ><strong>${authorName}</strong> <span>${content}</span></span
        >
        ${isPrivate ? html`<span class="soft small">to you</span>` : nothing}
      </li>
    `;
  }

  #moodTemplate(room) {
    if (!this.#isModel) {
      return html`<span class="pill plain" data-testid="mood">Mood: ${this.#mood}</span>`;
    }
    return html`
      <label class="soft small"
        >Mood
        <select
          data-testid="mood"
          ?disabled=${room === null}
          .value=${live(this.#mood)}
          @change=${({ target }) => this.#chooseMood(target.value)}
        >
          ${MOODS.map((mood) => html`<option ?selected=${mood === this.#mood}>${mood}</option>`)}
        </select>
      </label>
    `;
  }

  #form(room) {
    const to = this.#isModel ? this.#replyTo.authorName : room.modelDisplayName;
    return html`
      <form class="custom-tip" @submit=${(event) => this.#send(event)}>
        <label class="field">
          Write to ${to}
          <input type="text" name="content" maxlength=${TEXT_MAX} required autocomplete="off" data-testid="write" />
        </label>
        <button type="submit" data-testid="send-message">Send</button>
      </form>
    `;
  }
}
