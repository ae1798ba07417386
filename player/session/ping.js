// @ts-check
/**
 * Round-trip time, and whether the peer is there at all.
 *
 * A viewer sends next to nothing, so acknowledgements of its own data say nothing about the path: pings do. A peer that
 * falls quiet is pinged early: either it answers, and has nothing to send, or the path has died.
 * @module
 */

/** Nothing at all for so long, while pings go out, means that the connection is dead. In milliseconds. */
export const SILENCE_MS = 10_000;
/** A peer that was quiet for so long is pinged at once, in milliseconds. */
export const QUIET_MS = 400;
/** A timer that comes so late, in milliseconds, comes after a sleep: what has come meanwhile was not looked at yet. */
export const ASLEEP_MS = 2000;
/** Share of a new sample in the smoothed round-trip time, once so many have been taken: the first ones are of a connection that begins. */
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
	#samples = 0;

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
		this.#rtt = (this.#rtt ?? 0) + (sample - (this.#rtt ?? 0)) * Math.max(GAIN, 1 / ++this.#samples);
		this.#nextAt = Math.max(now, this.#sentAt + this.#interval);
		this.#sentAt = undefined;
	}

	/**
	 * @param {number} now
	 * @returns {{ ping?: number, silent: boolean }} `ping`: the number, 0 to 255, of one to be sent
	 */
	handleTimeout(now) {
		if (now > this.deadline + ASLEEP_MS) this.probe(now);
		if (this.#sentAt === undefined && now >= this.#dueAt) {
			this.#sentAt = now;
			this.#count = (this.#count + 1) % 256;
			return { ping: this.#count, silent: false };
		}
		const silent = !this.#silent && now >= this.#silentAt;
		if (silent) this.#silent = true;
		return { silent };
	}

	/**
	 * Forgets what is under way, and pings next: the network may be another one.
	 *
	 * @param {number} now
	 */
	probe(now) {
		if (this.#interval === Infinity) return;
		this.#lastInputAt = this.#nextAt = now;
		this.#sentAt = undefined;
	}

	/**
	 * For how long the peer has owed a sign of life, in milliseconds: a ping is out, and nothing has come since.
	 *
	 * @param {number} now
	 */
	unanswered(now) {
		return this.#sentAt === undefined ? 0 : now - Math.max(this.#lastInputAt, this.#sentAt);
	}

	/** When `handleTimeout` is wanted. */
	get deadline() {
		if (this.#sentAt === undefined) return this.#dueAt;
		return this.#silent ? Infinity : this.#silentAt;
	}

	/** Smoothed round-trip time in milliseconds. */
	get rtt() {
		return this.#rtt;
	}

	get #dueAt() {
		return Math.min(this.#nextAt, this.#interval === Infinity ? Infinity : this.#lastInputAt + QUIET_MS);
	}

	get #silentAt() {
		return Math.max(this.#lastInputAt, this.#sentAt ?? Infinity) + SILENCE_MS;
	}
}
