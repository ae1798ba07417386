// @ts-check
/** One track's SourceBuffer, and what waits for it: it takes one thing at a time. */

import { removeBefore } from "./mse-upkeep.js";

/** What may wait for the buffer, in bytes: a browser that takes nothing must not fill the memory. */
const MAX_WAITING_BYTES = 8 << 20;
/** What may be kept for another buffer, in bytes: 12 s of sound at any usual rate; timestamps that stand still must not fill the memory. */
const MAX_KEPT_BYTES = 1 << 20;

/**
 * `time`: where it begins on the player's time line; `offset`: what is added to its own times for that. In milliseconds.
 *
 * @typedef {{ bytes: Uint8Array, time: number, offset: number }} Segment
 */

/** A track. */
export class MseTrack {
	/** As `addSourceBuffer` wants it. */
	mime;
	/** Ticks a second. */
	timescale;

	#init;
	/** @type {SourceBuffer | undefined} */
	#buffer;
	/** @type {Segment[]} */
	#waiting = [];
	#waitingBytes = 0;
	#keepMs;
	/** @type {Segment[]} The newest ones, for another buffer. */
	#kept = [];
	/** @type {Segment | undefined} What the buffer is taking. */
	#taking;
	#isFull = false;
	#isHeld = false;
	#origin = 0;
	#position = 0;
	#handlers;

	/**
	 * @param {{ mime: string, timescale: number, init: Uint8Array, keepMs: number }} format `keepMs`: how much of what came last the
	 *   next buffer begins with, in milliseconds, where each segment can be decoded by itself
	 * @param {{ handleChange: () => void, handleOverflow: () => void, handleError: (error: unknown) => void }} handlers
	 *   `handleOverflow`: what waited is gone, and what comes must be decodable without it
	 */
	constructor({ mime, timescale, init, keepMs }, handlers) {
		this.mime = mime;
		this.timescale = timescale;
		this.#init = init;
		this.#keepMs = keepMs;
		this.#handlers = handlers;
	}

	/**
	 * Whether an initialization segment is the one it has.
	 *
	 * @param {Uint8Array} init
	 */
	has(init) {
		return init.length === this.#init.length && init.every((byte, i) => byte === this.#init[i]);
	}

	/**
	 * Gives it a buffer, in place of any other.
	 *
	 * @param {SourceBuffer} buffer
	 * @param {number} origin where the buffer's time line begins on the player's, in milliseconds
	 */
	attach(buffer, origin) {
		this.#buffer = buffer;
		this.#origin = origin;
		this.#position = 0;
		this.#isFull = false;
		this.#taking = undefined;
		// What would begin before the buffer does, browsers would drop, or not forgive.
		this.#waiting = [{ bytes: this.#init, time: origin, offset: origin }, ...this.#waiting.filter(({ time }) => time >= origin)];
		this.#waitingBytes = sizeOf(this.#waiting);
		buffer.addEventListener("updateend", () => {
			if (buffer !== this.#buffer) return;
			this.#taking = undefined;
			this.#handlers.handleChange();
			this.#advance();
		});
		buffer.addEventListener("error", () => {
			if (buffer === this.#buffer) this.#handlers.handleError("the browser can't read a segment");
		});
		this.#advance();
	}

	/**
	 * Appends a segment.
	 *
	 * @param {Segment} segment
	 */
	push(segment) {
		this.#waiting.push(segment);
		this.#waitingBytes += segment.bytes.length;
		if (this.#keepMs > 0) this.#kept.push(segment);
		while (sizeOf(this.#kept) > MAX_KEPT_BYTES || Math.abs(segment.time - (this.#kept[0] ?? segment).time) > this.#keepMs) this.#kept.shift();
		this.#advance();
		if (this.#waitingBytes <= MAX_WAITING_BYTES) return;
		this.clear();
		this.#handlers.handleOverflow();
	}

	/** Where what waits begins, in milliseconds; nothing when nothing waits. */
	get start() {
		return this.#waiting[0]?.time;
	}

	/** Takes its buffer away; with the next it begins anew. */
	detach() {
		this.#buffer = undefined;
		this.#waiting = [...this.#kept];
		this.#waitingBytes = sizeOf(this.#waiting);
	}

	/** Forgets what waits. */
	clear() {
		// The browser needs the initialization all the same.
		this.#waiting = this.#waiting.filter(({ bytes }) => bytes === this.#init);
		this.#waitingBytes = sizeOf(this.#waiting);
		this.#kept = [];
	}

	/**
	 * Has it take no more, or go on.
	 *
	 * @param {boolean} held
	 */
	hold(held) {
		this.#isHeld = held;
		this.#advance();
	}

	/**
	 * Removes what lies far behind.
	 *
	 * @param {number} position in milliseconds
	 */
	trim(position) {
		this.#position = position - this.#origin;
		this.#advance();
	}

	#advance() {
		const buffer = this.#buffer;
		if (!buffer || buffer.updating) return;
		try {
			if (this.#trim(buffer) || this.#isHeld || this.#isFull) return;
			const next = this.#take();
			if (!next) return;
			const offset = (next.offset - this.#origin) / 1000;
			if (buffer.timestampOffset !== offset) buffer.timestampOffset = offset;
			this.#taking = next;
			buffer.appendBuffer(/** @type {Uint8Array<ArrayBuffer>} */ (next.bytes));
		} catch (error) {
			this.#handleFailed(buffer, error);
		}
	}

	/**
	 * @param {SourceBuffer} buffer
	 * @returns {boolean} whether it is being emptied
	 */
	#trim(buffer) {
		if (buffer.buffered.length === 0) return false;
		const end = removeBefore({ start: buffer.buffered.start(0) * 1000, position: this.#position, isFull: this.#isFull });
		if (end === undefined) return false;
		this.#isFull = false;
		buffer.remove(0, end / 1000);
		return true;
	}

	/** What waits, as far as it has one offset, in one piece. */
	#take() {
		const offset = this.#waiting[0]?.offset;
		const end = this.#waiting.findIndex((segment) => segment.offset !== offset);
		const segments = this.#waiting.splice(0, end < 0 ? this.#waiting.length : end);
		if (segments.length === 0) return undefined;
		this.#waitingBytes -= sizeOf(segments);
		return segments.length === 1 ? segments[0] : { ...segments[0], bytes: concatenate(segments.map(({ bytes }) => bytes)) };
	}

	/**
	 * @param {SourceBuffer} buffer
	 * @param {unknown} error
	 */
	#handleFailed(buffer, error) {
		if (!(error instanceof Error) || error.name !== "QuotaExceededError" || !this.#taking) return this.#handlers.handleError(error);
		this.#waiting.unshift(this.#taking);
		this.#waitingBytes += this.#taking.bytes.length;
		this.#taking = undefined;
		this.#isFull = true;
		// With nothing behind the position to remove, it is what lies ahead that fills the buffer.
		if (!this.#trim(buffer)) this.#handlers.handleError(error);
	}
}

/** @param {Segment[]} segments */
function sizeOf(segments) {
	return segments.reduce((sum, { bytes }) => sum + bytes.length, 0);
}

/** @param {Uint8Array[]} parts */
function concatenate(parts) {
	const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
	let at = 0;
	for (const part of parts) {
		whole.set(part, at);
		at += part.length;
	}
	return whole;
}
