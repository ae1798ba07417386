// @ts-check
/**
 * How what is played is brought to what is due: arithmetic on (position, due), without a clock. Times are milliseconds of the
 * stream.
 *
 * ```
 *  ├─ skipped ─┤── faster ──┤ as it is ├── slower ──┤─ set back ─┤
 *              SKIP_MS    FAR_MS  due  FAR_MS      SKIP_MS
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
/** Further than this from what is due the pace changes, in milliseconds; until it is as near as `NEAR_MS`. */
export const FAR_MS = 15;
export const NEAR_MS = 4;

/** How long it should take to make up for what the pace is changed for, in milliseconds. */
const MAKE_UP_MS = 1000;
/** Steps of the pace: finer ones would only be more messages to the audio thread. */
const STEP = 1 / 200;

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
	const isSteering = pace !== 1 && Math.sign(pace - 1) === Math.sign(behind);
	if (Math.abs(behind) <= (isSteering ? NEAR_MS : FAR_MS)) return { pace: 1 };
	return { pace: Math.min(Math.max(1 + Math.round(behind / MAKE_UP_MS / STEP) * STEP, SLOWEST), FASTEST) };
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
