// @ts-check
/** A track's 32-bit timestamps, made one line that does not wrap. */

const WRAP = 2 ** 32;

/** One for all tracks of a stream, which share a time line. */
export class Timeline {
	/** @type {number | undefined} */
	#last;

	/**
	 * The time nearest to the last one that a timestamp can mean.
	 *
	 * @param {number} timestamp in milliseconds, modulo 2^32
	 * @returns {number} milliseconds; negative ones are possible
	 */
	unwrap(timestamp) {
		this.#last = this.peek(timestamp);
		return this.#last;
	}

	/**
	 * The same, without going there.
	 *
	 * @param {number} timestamp in milliseconds, modulo 2^32
	 * @returns {number}
	 */
	peek(timestamp) {
		if (this.#last === undefined) return timestamp;
		return this.#last + ((((timestamp - this.#last) % WRAP) + WRAP + WRAP / 2) % WRAP) - WRAP / 2;
	}
}
