// @ts-check
/**
 * Decoded audio between the decoder and the sound card: what is played is decided sample by sample, by stream time.
 * @module
 */

/** Most that is kept, in milliseconds: a decoder that is never listened to must not fill the memory. */
export const MAX_BUFFERED_MS = 3000;
/** Timestamps are whole milliseconds, so that chunks that follow each other seem to lie a little apart. */
const TOLERANCE_MS = 10;
/** A longer gap is skipped; a shorter one is silence, so that the clock runs on. In milliseconds. */
const MAX_SILENCE_MS = 500;

/**
 * How far playing is. `time` is the stream time of the next sample, in milliseconds; while not playing, that of the
 * first there is, or `Infinity`. `seconds` counts samples that were really played.
 *
 * @typedef {{ playing: boolean, time: number, bufferedMs: number, seconds: number, underruns: number }} Report
 */

/** A queue of planar chunks. */
export class Ring {
	#rate;
	/** @type {{ time: number, planes: Float32Array[] }[]} */
	#chunks = [];
	/** Samples of the first chunk that were played. */
	#offset = 0;
	#playing = false;
	#time = 0;
	#samples = 0;
	#underruns = 0;

	/** @param {number} rate samples a second */
	constructor(rate) {
		this.#rate = rate;
	}

	/**
	 * @param {number} time of its first sample, in milliseconds
	 * @param {Float32Array[]} planes one a channel
	 */
	push(time, planes) {
		const last = this.#chunks.at(-1);
		// Time steps back when the stream has begun anew.
		if (last && time < last.time) this.clear();
		this.#chunks.push({ time, planes });
		while (this.#bufferedMs > MAX_BUFFERED_MS) this.#shift();
	}

	/**
	 * Plays from a time on; what is older is dropped. With nothing that new, goes on waiting.
	 *
	 * @param {number} time
	 */
	play(time) {
		while (this.#chunks.length > 0 && this.#end(this.#chunks[0]) <= time) this.#shift();
		const first = this.#chunks[0];
		this.#playing = first !== undefined;
		if (!first) return;
		this.#offset = Math.max(this.#offset, Math.round(((time - first.time) * this.#rate) / 1000));
		this.#time = first.time > time ? time : this.#headTime;
	}

	/** Forgets everything and waits. */
	clear() {
		this.#chunks = [];
		this.#offset = 0;
		this.#playing = false;
	}

	/**
	 * Fills one block of output.
	 *
	 * @param {Float32Array[]} outputs one a channel, of one length
	 */
	pull(outputs) {
		const length = outputs[0]?.length ?? 0;
		for (let at = 0; at < length; ) {
			if (!this.#playing) return fill(outputs, at, length);
			const chunk = this.#chunks[0];
			if (!chunk) {
				this.#playing = false;
				this.#underruns++;
				continue;
			}
			const gap = this.#headTime - this.#time;
			if (gap > TOLERANCE_MS && gap <= MAX_SILENCE_MS) {
				const count = Math.min(Math.ceil((gap * this.#rate) / 1000), length - at);
				fill(outputs, at, at + count);
				this.#time += (count * 1000) / this.#rate;
				at += count;
				continue;
			}
			at += this.#copy(chunk, outputs, at, length);
		}
	}

	/** @returns {Report} */
	report() {
		return {
			playing: this.#playing,
			time: this.#playing ? this.#time : this.#chunks.length > 0 ? this.#headTime : Infinity,
			bufferedMs: this.#bufferedMs,
			seconds: this.#samples / this.#rate,
			underruns: this.#underruns,
		};
	}

	/**
	 * @param {{ planes: Float32Array[] }} chunk
	 * @param {Float32Array[]} outputs
	 * @param {number} at
	 * @param {number} length
	 */
	#copy({ planes }, outputs, at, length) {
		const count = Math.min(planes[0].length - this.#offset, length - at);
		outputs.forEach((output, channel) => {
			const plane = planes[Math.min(channel, planes.length - 1)];
			output.set(plane.subarray(this.#offset, this.#offset + count), at);
		});
		this.#offset += count;
		this.#samples += count;
		this.#time = this.#headTime;
		if (this.#offset >= planes[0].length) this.#shift();
		return count;
	}

	#shift() {
		this.#chunks.shift();
		this.#offset = 0;
	}

	get #headTime() {
		return this.#chunks[0].time + (this.#offset * 1000) / this.#rate;
	}

	get #bufferedMs() {
		const last = this.#chunks.at(-1);
		return last ? this.#end(last) - this.#headTime : 0;
	}

	/** @param {{ time: number, planes: Float32Array[] }} chunk */
	#end({ time, planes }) {
		return time + (planes[0].length * 1000) / this.#rate;
	}
}

/**
 * @param {Float32Array[]} outputs
 * @param {number} from
 * @param {number} to
 */
function fill(outputs, from, to) {
	for (const output of outputs) output.fill(0, from, to);
}
