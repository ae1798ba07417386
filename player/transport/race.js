// @ts-check
/**
 * Which transport it's going to be: a race between the known ones, without a clock.
 *
 * ```
 *  webtransport  ├── connects ──── no answer ────────┤ lost, closed
 *  rtwebsocket   ┊  STAGGER_MS  ├── connects ── media ┤ won
 * ```
 *
 * The best one has a head start; the next begins when that is over or when it has failed. The first that delivers wins.
 * Times are milliseconds of one monotonic clock, given by the caller.
 * @module
 */

/** Head start of each before the next, in milliseconds. */
export const STAGGER_MS = 300;
/** How many run at the same time: on a slow path, more would only take each other's place. Others begin when one has failed. */
export const MAX_RUNNING = 2;

/**
 * One entrant, as the statistics show it. Times are in milliseconds since the race began; `end` is `won`, `lost`, or why it failed.
 *
 * @typedef {{ transport: string, startedMs: number, endedMs?: number, end?: string }} Entrant
 */

/** One race. */
export class Race {
	#began;
	/** @type {string[]} Those that have not begun, the best one first. */
	#waiting;
	#nextAt;
	/** @type {Entrant[]} */
	#entrants = [];
	/** @type {string | undefined} */
	#winner;

	/**
	 * @param {number} now
	 * @param {string[]} transports the best one first
	 */
	constructor(now, transports) {
		this.#began = this.#nextAt = now;
		this.#waiting = [...transports];
	}

	/**
	 * Which one is to begin now.
	 *
	 * @param {number} now
	 * @returns {string | undefined}
	 */
	pollStart(now) {
		if (now < this.deadline) return undefined;
		const transport = this.#waiting.shift();
		this.#nextAt = now + STAGGER_MS;
		if (transport !== undefined) this.#entrants.push({ transport, startedMs: now - this.#began });
		return transport;
	}

	/**
	 * One has failed: the next does not wait any longer.
	 *
	 * @param {number} now
	 * @param {string} transport
	 * @param {string} reason
	 */
	handleFailed(now, transport, reason) {
		this.#end(now, transport, reason);
		this.#nextAt = now;
	}

	/**
	 * One delivers.
	 *
	 * @param {number} now
	 * @param {string} transport
	 * @returns {boolean} whether it has won by that
	 */
	handleDelivered(now, transport) {
		if (this.#winner !== undefined) return false;
		this.#winner = transport;
		this.#waiting = [];
		this.#end(now, transport, "won");
		for (const { transport: other, end } of this.#entrants) if (end === undefined) this.#end(now, other, "lost");
		return true;
	}

	/** When `pollStart` is wanted; `Infinity` for never. */
	get deadline() {
		const running = this.#entrants.filter(({ end }) => end === undefined).length;
		return this.#waiting.length > 0 && running < MAX_RUNNING ? this.#nextAt : Infinity;
	}

	/** Whether nobody is left to win. */
	get isLost() {
		return this.#winner === undefined && this.#waiting.length === 0 && this.#entrants.every(({ end }) => end !== undefined);
	}

	/** @returns {string | undefined} */
	get winner() {
		return this.#winner;
	}

	/** Those that began, in the order of that. */
	get entrants() {
		return this.#entrants;
	}

	/**
	 * @param {number} now
	 * @param {string} transport
	 * @param {string} end
	 */
	#end(now, transport, end) {
		const entrant = this.#entrants.find((entrant) => entrant.transport === transport);
		if (entrant && entrant.end === undefined) Object.assign(entrant, { endedMs: now - this.#began, end });
	}
}
