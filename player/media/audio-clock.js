// @ts-check
/**
 * The audio clock: what is heard now, from reports that come late and in steps.
 *
 * The sound card takes audio in blocks larger than ours, and messages wait their turn; both make a report seem older
 * than it is. The most advanced of the last reports is the one least delayed.
 * @module
 */

const REPORTS = 16;
/** A clock that has not been heard of for so long has stopped, in milliseconds. */
const STALE_MS = 300;

/** Follows one ring's reports. */
export class AudioClock {
	/** @type {number[]} Stream time minus wall time. */
	#offsets = [];
	#heardAt = -Infinity;
	#pace = 1;

	/**
	 * @param {number} now
	 * @param {import("./ring.js").Report} report
	 */
	handleReport(now, { playing, time, pace }) {
		if (!playing) return this.reset();
		// Older reports go on at the pace that it had since.
		const drift = (this.#pace - 1) * (now - this.#heardAt);
		if (drift !== 0) this.#offsets = this.#offsets.map((offset) => offset + drift);
		this.#pace = pace;
		this.#offsets.push(time - now);
		if (this.#offsets.length > REPORTS) this.#offsets.shift();
		this.#heardAt = now;
	}

	/** Audio jumps or stops: what is known of it is no longer so. */
	reset() {
		this.#offsets = [];
		this.#pace = 1;
	}

	/**
	 * The stream time that leaves the ring now, in milliseconds.
	 *
	 * @param {number} now
	 * @returns {number | undefined} nothing while audio does not play
	 */
	time(now) {
		if (this.#offsets.length === 0 || now - this.#heardAt > STALE_MS) return undefined;
		return now + Math.max(...this.#offsets) + (this.#pace - 1) * (now - this.#heardAt);
	}
}
