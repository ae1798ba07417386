// @ts-check
/**
 * Decoded audio between the decoder and the sound card: what is played is decided sample by sample, by stream time, and at a
 * pace, by splices.
 * @module
 */

import { MAX_LAG_MS, MIN_LAG_MS, samplesNeeded, splice } from "./stretch.js";

/** Most that is kept, in milliseconds: a decoder that is never listened to must not fill the memory. */
export const MAX_BUFFERED_MS = 3000;
/** Timestamps are whole milliseconds, so that chunks that follow each other seem to lie a little apart. */
const TOLERANCE_MS = 10;
/** A longer gap is skipped; a shorter one is silence, so that the clock runs on. In milliseconds. */
const MAX_SILENCE_MS = 500;

/**
 * How far playing is. `time` is the stream time of the next sample, in milliseconds; while not playing, that of the
 * first there is, or `Infinity`. `seconds` counts samples that were really played. `pace` is the one it was told.
 *
 * @typedef {{ playing: boolean, time: number, pace: number, bufferedMs: number, seconds: number, underruns: number }} Report
 */

/** `pace`: how much faster than its samples its time passes. @typedef {{ time: number, planes: Float32Array[], pace: number }} Chunk */

/** A queue of planar chunks. */
export class Ring {
	#rate;
	/** @type {Chunk[]} */
	#chunks = [];
	/** Samples of the first chunk that were played. */
	#offset = 0;
	#playing = false;
	#time = 0;
	#samples = 0;
	#underruns = 0;
	#pace = 1;
	/** Samples that are to be left out, or, when negative, to come twice. */
	#owed = 0;

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
		this.#chunks.push({ time, planes, pace: 1 });
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
		this.#offset = Math.max(this.#offset, Math.round(((time - first.time) * this.#rate) / 1000 / first.pace));
		this.#time = first.time > time ? time : this.#headTime;
		this.setPace(1);
	}

	/**
	 * Goes on faster or slower.
	 *
	 * @param {number} pace 1 as it is
	 */
	setPace(pace) {
		if (Math.sign(pace - 1) !== Math.sign(this.#pace - 1)) this.#owed = 0;
		this.#pace = pace;
	}

	/** Forgets everything and waits. */
	clear() {
		this.#chunks = [];
		this.#offset = 0;
		this.#playing = false;
		this.setPace(1);
	}

	/**
	 * Fills one block of output.
	 *
	 * @param {Float32Array[]} outputs one a channel, of one length
	 */
	pull(outputs) {
		const length = outputs[0]?.length ?? 0;
		if (this.#playing && this.#pace !== 1) this.#stretch(length);
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
			pace: this.#pace,
			bufferedMs: this.#bufferedMs,
			seconds: this.#samples / this.#rate,
			underruns: this.#underruns,
		};
	}

	/**
	 * Owes what the pace makes of some samples, and splices when that is enough for a piece and enough has come.
	 *
	 * @param {number} length
	 */
	#stretch(length) {
		const most = (MAX_LAG_MS * this.#rate) / 1000;
		this.#owed = Math.min(Math.max(this.#owed + (this.#pace - 1) * length, -most), most);
		if (Math.abs(this.#owed) < (MIN_LAG_MS * this.#rate) / 1000) return;
		const planes = this.#peek(samplesNeeded(this.#rate));
		if (!planes) return;
		const time = this.#headTime;
		const { planes: spliced, consumed } = splice(planes, this.#rate, this.#owed > 0);
		const count = spliced[0].length;
		this.#owed -= consumed - count;
		const end = this.#skip(consumed);
		const pace = (((end - time) / count) * this.#rate) / 1000;
		const rest = this.#chunks[0];
		// The head goes on behind the splice.
		if (rest && this.#offset > 0) this.#chunks[0] = { ...rest, time: this.#headTime, planes: rest.planes.map((plane) => plane.subarray(this.#offset)) };
		this.#offset = 0;
		this.#chunks.unshift({ time, planes: spliced, pace });
	}

	/**
	 * What comes next in one piece.
	 *
	 * @param {number} count
	 * @returns {Float32Array[] | undefined} nothing when there is less, or a gap
	 */
	#peek(count) {
		const [first] = this.#chunks;
		if (!first) return undefined;
		const planes = first.planes.map(() => new Float32Array(count));
		let filled = 0;
		let end = first.time;
		for (const chunk of this.#chunks) {
			if (chunk.planes.length !== planes.length || Math.abs(chunk.time - end) > TOLERANCE_MS) return undefined;
			const from = chunk === first ? this.#offset : 0;
			const part = Math.min(chunk.planes[0].length - from, count - filled);
			planes.forEach((plane, channel) => plane.set(chunk.planes[channel].subarray(from, from + part), filled));
			filled += part;
			if (filled === count) return planes;
			end = this.#end(chunk);
		}
		return undefined;
	}

	/**
	 * Drops samples that are there.
	 *
	 * @param {number} count
	 * @returns {number} the stream time behind them
	 */
	#skip(count) {
		for (let left = count; left > 0; ) {
			const part = Math.min(this.#chunks[0].planes[0].length - this.#offset, left);
			this.#offset += part;
			left -= part;
			const end = this.#headTime;
			if (this.#offset >= this.#chunks[0].planes[0].length) this.#shift();
			if (left === 0) return end;
		}
		return this.#headTime;
	}

	/**
	 * @param {Chunk} chunk
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
		return this.#chunks[0].time + ((this.#offset * 1000) / this.#rate) * this.#chunks[0].pace;
	}

	get #bufferedMs() {
		const last = this.#chunks.at(-1);
		return last ? this.#end(last) - this.#headTime : 0;
	}

	/** @param {Chunk} chunk */
	#end({ time, planes, pace }) {
		return time + ((planes[0].length * 1000) / this.#rate) * pace;
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
