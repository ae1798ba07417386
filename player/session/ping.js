// @ts-check
/**
 * Round-trip time, and whether the peer is there at all.
 *
 * A viewer sends next to nothing, so acknowledgements of its own data say nothing about the path: pings do.
 * @module
 */

/** Nothing at all for so long, while pings go out, means that the connection is dead. In milliseconds. */
export const SILENCE_MS = 10_000;
/** Share of a new sample in the smoothed round-trip time. */
const GAIN = 1 / 8;

/** One ping at a time. */
export class Ping {
	#interval;
	#nextAt;
	#lastInputAt;
	#silent = false;
	#count = 0;
	/** @type {number | undefined} */
	#sentAt;
	/** @type {number | undefined} */
	#rtt;

	/**
	 * @param {number} now
	 * @param {number} interval in milliseconds; `Infinity` turns everything off
	 */
	constructor(now, interval) {
		this.#interval = interval;
		this.#nextAt = interval === Infinity ? Infinity : now;
		this.#lastInputAt = now;
	}

	/** @param {number} now */
	handleInput(now) {
		this.#lastInputAt = now;
	}

	/**
	 * @param {number} now
	 * @param {number} ping which it answers
	 */
	handleReply(now, ping) {
		if (this.#sentAt === undefined || ping !== this.#count) return;
		const sample = now - this.#sentAt;
		this.#rtt = this.#rtt === undefined ? sample : this.#rtt + (sample - this.#rtt) * GAIN;
		this.#nextAt = Math.max(now, this.#sentAt + this.#interval);
		this.#sentAt = undefined;
	}

	/**
	 * @param {number} now
	 * @returns {{ ping?: number, silent: boolean }} `ping`: the number, 0 to 255, of one to be sent
	 */
	handleTimeout(now) {
		if (this.#sentAt === undefined && now >= this.#nextAt) {
			this.#sentAt = now;
			this.#count = (this.#count + 1) % 256;
			return { ping: this.#count, silent: false };
		}
		const silent = !this.#silent && now >= this.#silentAt;
		if (silent) this.#silent = true;
		return { silent };
	}

	/** When `handleTimeout` is wanted. */
	get deadline() {
		if (this.#sentAt === undefined) return this.#nextAt;
		return this.#silent ? Infinity : this.#silentAt;
	}

	/** Smoothed round-trip time in milliseconds. */
	get rtt() {
		return this.#rtt;
	}

	get #silentAt() {
		return Math.max(this.#lastInputAt, this.#sentAt ?? Infinity) + SILENCE_MS;
	}
}
