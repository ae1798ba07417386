// @ts-check
/**
 * When to try what, so that the picture comes back by itself: arithmetic without a clock.
 *
 * ```
 *  no connection   ──attempt──▶ failed ── 0.25, 0.5, 1, 1.5, 1.5 … s ──▶ attempt
 *  stalled         ──attempt in the background──▶ delivers: takes over │ the stalled one goes on: given up
 * ```
 *
 * Times are milliseconds of one monotonic clock, given by the caller.
 * @module
 */

/** Wait before the first try to connect again, in milliseconds. Doubles with each that fails. */
export const FIRST_RETRY_MS = 250;
/** Longest wait before a try, in milliseconds: who returns is found within two seconds. */
export const LAST_RETRY_MS = 1500;
/** Half of a wait is left to chance, so that viewers of a gateway that restarts do not all come at once. */
export const RETRY_JITTER = 0.5;
/** How long an attempt may take, in milliseconds: longer than eight round trips over satellite; SYNs that were lost are repeated later and later. */
export const ATTEMPT_MS = 8000;

/** The attempts of one viewer. The first is due at once. */
export class Recovery {
	#random;
	#failures = 0;
	/** When to try; `Infinity` while nothing is to be tried. */
	#tryAt;
	/** Until when the attempt under way has time. */
	#until = Infinity;

	/**
	 * @param {number} now
	 * @param {() => number} random from 0 to 1
	 */
	constructor(now, random) {
		this.#tryAt = now;
		this.#random = random;
	}

	/**
	 * Whether to make an attempt now.
	 *
	 * @param {number} now
	 */
	pollAttempt(now) {
		if (now < this.#tryAt) return false;
		this.#tryAt = Infinity;
		this.#until = now + ATTEMPT_MS;
		return true;
	}

	/**
	 * Whether the attempt under way is to be given up.
	 *
	 * @param {number} now
	 */
	isOverdue(now) {
		return now >= this.#until;
	}

	/** The attempt delivers. */
	handleDelivered() {
		this.#failures = 0;
		this.#stop();
	}

	/**
	 * The attempt has come to nothing.
	 *
	 * @param {number} now
	 */
	handleFailed(now) {
		this.#until = Infinity;
		const wait = Math.min(FIRST_RETRY_MS * 2 ** this.#failures++, LAST_RETRY_MS);
		this.#tryAt = now + wait * (1 - RETRY_JITTER * this.#random());
	}

	/**
	 * The connection has ended.
	 *
	 * @param {number} now
	 */
	handleLost(now) {
		if (this.#isIdle) this.handleFailed(now);
	}

	/**
	 * The connection carries nothing any more: another one is worth a try.
	 *
	 * @param {number} now
	 */
	handleStalled(now) {
		if (this.#isIdle) this.#tryAt = now;
	}

	/** The connection carries everything again. */
	handleRecovered() {
		this.#stop();
	}

	/**
	 * The network is another one: what was waited for may have come, and an attempt under way is given up for another.
	 *
	 * @param {number} now
	 */
	handleNetwork(now) {
		this.#failures = 0;
		if (this.#isIdle) return;
		this.#until = Infinity;
		this.#tryAt = now;
	}

	get #isIdle() {
		return this.#tryAt === Infinity && this.#until === Infinity;
	}

	#stop() {
		this.#tryAt = this.#until = Infinity;
	}
}
