// @ts-check
/**
 * Video from units to a canvas: decodes a little ahead of time and shows the newest frame that is due.
 * @module
 */

import { avcConfig } from "./codec.js";

/** How many decoded frames may wait: hardware decoders stop when many of theirs are held. */
const MAX_DECODED = 8;
/** After a start, what is late in this time is the past, from before it was joined, and not lost. In milliseconds. */
const JOIN_MS = 1000;
/** How many units may wait to be decoded, before all up to the newest key frame are given up. */
const MAX_WAITING = 240;

/** @typedef {{ key: boolean, decodeTime: number, time: number, payload: Uint8Array }} Frame */

/** A stream's video. */
export class VideoTrack {
	/** Frames that were shown. */
	framesShown = 0;
	/** Frames that came but were not shown, but for those of a group that was joined in its middle. */
	framesDropped = 0;

	#handleTrouble;
	/** @type {VideoDecoder | undefined} */
	#decoder;
	/** @type {VideoDecoderConfig | undefined} */
	#config;
	#needsKey = true;
	/** When the first frame since the last start was looked at. */
	#startedAt = Infinity;
	/** @type {(Frame | "end")[]} */
	#waiting = [];
	/** @type {VideoFrame[]} By time. */
	#decoded = [];

	/** @param {(message: string) => void} handleTrouble something is wrong that a person may want to know */
	constructor(handleTrouble) {
		this.#handleTrouble = handleTrouble;
	}

	/**
	 * Takes a unit.
	 *
	 * @param {import("./flv.js").Unit} unit
	 * @param {number} decodeTime its timestamp, on the stream's time line
	 */
	push({ kind, composition, payload }, decodeTime) {
		if (kind === "configuration") return this.#configure(payload);
		if (kind === "unsupported") return this.#handleTrouble("this player does not know the video codec");
		if (kind === "end") {
			this.#waiting.push("end");
			this.#needsKey = true;
			return;
		}
		if (this.#needsKey && kind !== "key") return;
		this.#needsKey = false;
		this.#waiting.push({ key: kind === "key", decodeTime, time: decodeTime + composition, payload });
		if (this.#waiting.length > MAX_WAITING) this.#skipToNewestKey();
	}

	/** Frames are missing: what depends on them cannot be decoded. */
	handleGap() {
		this.#needsKey = true;
	}

	/** Forgets what is waiting; goes on with the next key frame. */
	reset() {
		this.#waiting = [];
		this.#needsKey = true;
		this.#startedAt = Infinity;
		this.#closeDecoder();
		for (const frame of this.#decoded.splice(0)) frame.close();
	}

	/**
	 * Gives up what is late and decodes what will be due soon.
	 *
	 * @param {number} now
	 * @param {number} due
	 */
	advance(now, due) {
		if (this.#waiting.length > 0) this.#startedAt = Math.min(this.#startedAt, now);
		while (this.#decoded.length > 1 && this.#decoded[1].timestamp <= due * 1000) {
			this.#decoded.shift()?.close();
			if (now - this.#startedAt > JOIN_MS) this.framesDropped++;
		}
		while (this.#waiting.length > 0 && this.#decoded.length + (this.#decoder?.decodeQueueSize ?? 0) < MAX_DECODED) {
			const next = this.#waiting.shift();
			if (next === "end") this.#flush();
			else if (next) this.#decode(next);
		}
	}

	/**
	 * Shows the newest frame that is due, if there is one that was not shown yet.
	 *
	 * @param {number} now
	 * @param {number} due
	 * @param {(frame: VideoFrame) => void} draw takes the frame over, and closes it
	 */
	present(now, due, draw) {
		this.advance(now, due);
		const frame = this.#decoded[0];
		if (!frame || frame.timestamp > due * 1000) return;
		this.#decoded.shift();
		this.framesShown++;
		draw(frame);
	}

	/** @param {Uint8Array} record */
	#configure(record) {
		const config = avcConfig(record);
		if (!config) return this.#handleTrouble("the video's configuration makes no sense");
		if (this.#config && sameBytes(this.#config.description, config.description)) return;
		// What waits was made with the old one.
		this.reset();
		this.#config = config;
	}

	/** @param {Frame} frame */
	#decode({ key, time, payload }) {
		if (!this.#decoder) {
			if (!key || !this.#config) return;
			this.#decoder = this.#open(this.#config);
		}
		try {
			this.#decoder.decode(new EncodedVideoChunk({ type: key ? "key" : "delta", timestamp: time * 1000, data: payload }));
		} catch (error) {
			this.#handleDecoderError(this.#decoder, error);
		}
	}

	/** @param {VideoDecoderConfig} config */
	#open(config) {
		/** @type {VideoDecoder} */
		const decoder = new VideoDecoder({
			output: (frame) => this.#handleDecoded(decoder, frame),
			error: (error) => this.#handleDecoderError(decoder, error),
		});
		try {
			decoder.configure(config);
		} catch (error) {
			this.#handleTrouble(`this browser does not play ${config.codec}: ${error}`);
		}
		return decoder;
	}

	#flush() {
		// A decoder that fails meanwhile says so by its error callback.
		this.#decoder?.flush().catch(() => {});
	}

	/**
	 * @param {VideoDecoder} decoder
	 * @param {VideoFrame} frame
	 */
	#handleDecoded(decoder, frame) {
		if (decoder !== this.#decoder) return frame.close();
		const at = this.#decoded.findIndex((other) => other.timestamp > frame.timestamp);
		this.#decoded.splice(at < 0 ? this.#decoded.length : at, 0, frame);
	}

	/**
	 * A decoder that failed is of no more use; the next key frame gets a new one.
	 *
	 * @param {VideoDecoder} decoder
	 * @param {unknown} error
	 */
	#handleDecoderError(decoder, error) {
		if (decoder !== this.#decoder) return;
		this.#handleTrouble(`video decoding failed: ${error}`);
		this.#closeDecoder();
		this.#skipToNewestKey();
	}

	#closeDecoder() {
		if (this.#decoder && this.#decoder.state !== "closed") this.#decoder.close();
		this.#decoder = undefined;
	}

	#skipToNewestKey() {
		const newest = this.#waiting.findLastIndex((frame) => frame !== "end" && frame.key);
		if (newest < 0) this.#needsKey = true;
		this.framesDropped += this.#waiting.splice(0, newest < 0 ? this.#waiting.length : newest).length;
	}
}

/**
 * @param {AllowSharedBufferSource | undefined} a
 * @param {AllowSharedBufferSource | undefined} b
 */
function sameBytes(a, b) {
	if (!(a instanceof Uint8Array) || !(b instanceof Uint8Array)) return false;
	return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
