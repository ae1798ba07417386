// @ts-check
/**
 * Whether this viewer is there at all: its page may be frozen, its machine may sleep, its network may be another one. Without a
 * clock.
 *
 * ```
 *  here ── frozen, or kept for "back" ──▶ away ── resumed, shown ──▶ here, connected anew
 *   └───────── asleep, which is noticed when something runs again ──▶ here, connected anew
 * ```
 *
 * Who is away is sent nothing, and joins at the live edge afterwards: what waited for it would be old, and in the way of what is
 * new.
 * @module
 */

import { ASLEEP_MS } from "./ping.js";

/** Least time between two looks at a network that may have changed, in milliseconds: browsers tell of each new estimate of it. */
export const NETWORK_MS = 2000;

/** One viewer's. */
export class Presence {
	#awakeAt;
	#wallAt;
	#isAway = false;
	#networkAt = -Infinity;

	/**
	 * @param {number} now of a clock that does not jump, in milliseconds
	 * @param {number} wall of the machine's clock, in milliseconds
	 */
	constructor(now, wall) {
		this.#awakeAt = now;
		this.#wallAt = wall;
	}

	/**
	 * Something runs. Clocks that do not jump stand still on many machines that sleep; others are set now and then, which
	 * costs a connection.
	 *
	 * @param {number} now
	 * @param {number} wall
	 * @returns {boolean} whether it was asleep until now
	 */
	handleAwake(now, wall) {
		const pausedMs = Math.max(now - this.#awakeAt, wall - this.#wallAt);
		this.#awakeAt = now;
		this.#wallAt = wall;
		return !this.#isAway && pausedMs > ASLEEP_MS;
	}

	/**
	 * The page says that it is about to stand still, or that it does no more.
	 *
	 * @param {boolean} isAway
	 * @returns {boolean} whether that is news
	 */
	setAway(isAway) {
		const isNew = isAway !== this.#isAway;
		this.#isAway = isAway;
		return isNew;
	}

	/**
	 * The network may not be what it was.
	 *
	 * @param {number} now
	 * @param {boolean} isNew whether it is another one
	 * @returns {boolean} whether to look after the connection
	 */
	handleNetwork(now, isNew) {
		if (!isNew && now - this.#networkAt < NETWORK_MS) return false;
		this.#networkAt = now;
		return true;
	}

	/** Whether the page stands still, or is about to. */
	get isAway() {
		return this.#isAway;
	}
}
