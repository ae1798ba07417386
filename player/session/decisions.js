// @ts-check
/** What the player has decided, for who wants to know why a picture looks as it does. */

/** How many are kept: the statistics are sent four times a second. */
export const MAX_DECISIONS = 24;

/**
 * One decision: when, in milliseconds since the stream was opened; what, one of `Decision`; and why or how, for people.
 *
 * @typedef {{ atMs: number, kind: string, detail: string }} Entry
 */

/** The last decisions, oldest first. */
export class Decisions {
	/** @type {Entry[]} */
	#entries = [];
	#openedAt;

	/** @param {number} now */
	constructor(now) {
		this.#openedAt = now;
	}

	/**
	 * @param {number} now
	 * @param {string} kind
	 * @param {string} detail
	 * @returns {Entry}
	 */
	add(now, kind, detail) {
		const entry = { atMs: Math.round(now - this.#openedAt), kind, detail };
		this.#entries.push(entry);
		if (this.#entries.length > MAX_DECISIONS) this.#entries.splice(this.#mostCommon(), 1);
		return entry;
	}

	/** @returns {Entry[]} */
	get entries() {
		return this.#entries;
	}

	/** The oldest one of the kind that there are most of: the pace changes often, and must not push out what happened once. */
	#mostCommon() {
		const count = (/** @type {string} */ kind) => this.#entries.filter((entry) => entry.kind === kind).length;
		const most = Math.max(...this.#entries.map(({ kind }) => count(kind)));
		return this.#entries.findIndex(({ kind }) => count(kind) === most);
	}
}
