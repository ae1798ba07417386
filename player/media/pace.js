// @ts-check
/**
 * How what is played is brought to what is due: arithmetic on (position, due), without a clock. Times are milliseconds of the
 * stream.
 *
 * ```
 *  ├─ skipped ─┤── faster ──┤ as it is ├── slower ──┤─ set back ─┤
 *              SKIP_MS    farMs   due   farMs      SKIP_MS
 * ```
 *
 * Clocks that drift apart, a path that gets longer or shorter and a target that changes are all the same here: a distance to
 * what is due, made up for by a pace that nobody hears. Only what would take too long is made up for by a skip.
 * @module
 */

/** Most and least pace: a twentieth is not heard while the pitch is kept. */
export const FASTEST = 1.05;
export const SLOWEST = 0.95;
/**
 * Further than this from what is due is skipped, in milliseconds: it would take four seconds to make up for it. It also bounds what a
 * sound card can cost that is slower than the pace can make up for.
 */
export const SKIP_MS = 200;
/** The same for what has just begun, in milliseconds: nobody is listening yet, and the delay should be right at once. */
export const JOIN_SKIP_MS = 60;
/** So long something has just begun, in milliseconds. */
export const JOIN_MS = 1000;

/**
 * Further than `farMs` from what is due the pace changes, until it is as near as `nearMs`; `makeUpMs` is how long it should take to
 * make up for the distance, `step` the pace's steps.
 *
 * @typedef {{ farMs: number, nearMs: number, makeUpMs: number, step: number }} Steering
 */

/** Finer steps would only be more messages to the audio thread. @type {Readonly<Steering>} */
const STEERING = Object.freeze({ farMs: 15, nearMs: 4, makeUpMs: 1000, step: 1 / 200 });

/**
 * What to do about a distance to what is due.
 *
 * @param {object} situation
 * @param {number} situation.position what is played
 * @param {number} situation.pace the present one
 * @param {number} situation.due what should be
 * @param {number} situation.sinceMs how long it has been playing
 * @returns {{ pace: number, skipTo?: number }}
 */
export function steer({ position, pace, due, sinceMs }) {
	const behind = due - position;
	if (Math.abs(behind) > (sinceMs < JOIN_MS ? JOIN_SKIP_MS : SKIP_MS)) return { pace: 1, skipTo: due };
	return { pace: paceFor(behind, pace, STEERING) };
}

/**
 * The pace that makes up for a distance.
 *
 * @param {number} behind what is due, in milliseconds
 * @param {number} pace the present one
 * @param {Steering} steering
 */
export function paceFor(behind, pace, { farMs, nearMs, makeUpMs, step }) {
	const isSteering = pace !== 1 && Math.sign(pace - 1) === Math.sign(behind);
	if (Math.abs(behind) <= (isSteering ? nearMs : farMs)) return 1;
	return Math.min(Math.max(1 + Math.round(behind / makeUpMs / step) * step, SLOWEST), FASTEST);
}

/**
 * What a pace is called in a decision.
 *
 * @param {number} pace
 */
export function describePace(pace) {
	if (pace === 1) return "as it is";
	return pace > 1 ? "faster" : "slower";
}

/** What is shown where no sound leads: runs with the wall clock, at a pace. */
export class Playhead {
	/** The present pace. */
	pace = 1;

	#position = NaN;
	#at = NaN;
	#since = Infinity;

	/**
	 * The stream time that is to be seen.
	 *
	 * @param {number} now
	 * @returns {number | undefined} nothing before it has begun
	 */
	time(now) {
		return Number.isNaN(this.#at) ? undefined : this.#position + (now - this.#at) * this.pace;
	}

	/**
	 * Brings it to what is due.
	 *
	 * @param {number} now
	 * @param {number} due
	 * @returns {number} how far it skipped, in milliseconds; 0 when it did not
	 */
	steer(now, due) {
		const position = this.time(now);
		if (position === undefined) {
			this.#since = now;
			this.#place(now, due, 1);
			return 0;
		}
		const { pace, skipTo } = steer({ position, pace: this.pace, due, sinceMs: now - this.#since });
		this.#place(now, skipTo ?? position, pace);
		return skipTo === undefined ? 0 : skipTo - position;
	}

	/**
	 * Sound leads: goes where that is.
	 *
	 * @param {number} now
	 * @param {number} time
	 */
	follow(now, time) {
		if (this.#since === Infinity) this.#since = now;
		this.#place(now, time, 1);
	}

	/** Begins anew. */
	reset() {
		this.#at = NaN;
		this.#since = Infinity;
		this.pace = 1;
	}

	/**
	 * @param {number} now
	 * @param {number} position
	 * @param {number} pace
	 */
	#place(now, position, pace) {
		this.#at = now;
		this.#position = position;
		this.pace = pace;
	}
}
