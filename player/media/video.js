// @ts-check
/**
 * Video from units to a canvas: decodes a little ahead of time and shows the newest frame that is due.
 *
 * A group that is joined in its middle is decoded as fast as can be: its first picture is shown at once, and then none before
 * those that are due, since nobody wants to see the past fly by.
 * @module
 */

import { avcConfig } from "./codec.js";

/** How many decoded frames may wait: hardware decoders stop when many of theirs are held. */
const MAX_DECODED = 8;
/** After a start, what is late in this time is the past, from before it was joined, and not lost. In milliseconds. */
const JOIN_MS = 1000;
/** How many units may wait to be decoded, before all up to the newest key frame are given up: a group of 12 s at 60 frames a second. */
const MAX_WAITING = 720;
/** A unit that is late after it has waited for the decoder so long means that it does not keep up, in milliseconds: it goes on at the next key frame. */
const MAX_WAIT_MS = 400;
/** For so long after a start it may be catching up with the group that was joined, in milliseconds. */
const CATCH_UP_MS = 1500;
/** A frame that is late by more than this is of the past, in milliseconds: it's not shown while newer ones are being decoded. */
const PAST_MS = 250;
/** A decoder that fails so often without one frame does not know the stream, whatever it says. */
const MAX_FAILURES = 3;

/** @typedef {{ key: boolean, time: number, payload: Uint8Array, receivedAt: number }} Frame */

/**
 * @typedef {object} VideoHandlers
 * @property {(message: string) => void} handleTrouble something is wrong that a person may want to know
 * @property {(why: string) => void} handleRestart the decoder goes on at the next key frame
 * @property {() => void} handleUndecodable this browser can't decode the stream
 * @property {() => void} handleDecoded there is another frame
 */

/** A stream's video. */
export class VideoTrack {
	/** Frames that were shown. */
	framesShown = 0;
	/** Frames that came but were not shown, but for those of a group that was joined in its middle. */
	framesDropped = 0;

	#handlers;
	/** @type {VideoDecoder | undefined} */
	#decoder;
	/** @type {VideoDecoderConfig | undefined} */
	#config;
	#needsKey = true;
	/** When the first frame since the last start was looked at. */
	#startedAt = Infinity;
	/** Time of the newest frame that was shown, in microseconds: what comes twice is not shown again. */
	#shown = -Infinity;
	#failures = 0;
	/** @type {(Frame | "end")[]} */
	#waiting = [];
	/** @type {VideoFrame[]} By time. */
	#decoded = [];

	/** @param {VideoHandlers} handlers */
	constructor(handlers) {
		this.#handlers = handlers;
	}

	/**
	 * Takes a unit.
	 *
	 * @param {number} now
	 * @param {import("./flv.js").Unit} unit
	 * @param {number} decodeTime its timestamp, on the stream's time line
	 */
	push(now, { kind, composition, payload }, decodeTime) {
		if (kind === "configuration") return this.#configure(payload);
		if (kind === "unsupported") return this.#handlers.handleTrouble("this player does not know the video codec");
		if (kind === "end") {
			this.#waiting.push("end");
			this.#needsKey = true;
			return;
		}
		if (this.#needsKey && kind !== "key") return;
		this.#needsKey = false;
		this.#waiting.push({ key: kind === "key", time: decodeTime + composition, payload, receivedAt: now });
		if (this.#waiting.length > MAX_WAITING) this.#skipToNewestKey("too much waits for the decoder");
	}

	/** Frames are missing: what depends on them cannot be decoded. */
	handleGap() {
		this.#needsKey = true;
	}

	/** The newest group comes from its beginning: what is shown stays until that has caught up. */
	rejoin() {
		this.#needsKey = true;
		this.#startedAt = Infinity;
	}

	/** Forgets what is waiting; goes on with the next key frame. */
	reset() {
		this.#waiting = [];
		this.#needsKey = true;
		this.#startedAt = Infinity;
		this.#shown = -Infinity;
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
		this.#giveUpLate(now, due);
		while (this.#decoded.length > 1 && this.#decoded[1].timestamp <= due * 1000) {
			const { timestamp } = this.#decoded[0];
			this.#decoded.shift()?.close();
			if (!this.#isJoining(now) && timestamp > this.#shown) this.framesDropped++;
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
	 * @param {(frame: VideoFrame, isDue: boolean) => void} draw takes the frame over, and closes it
	 */
	present(now, due, draw) {
		this.advance(now, due);
		const [frame] = this.#decoded;
		// What is shown first need not be due: a still picture is more than none.
		const isFirst = this.#shown === -Infinity;
		if (!frame || (frame.timestamp > due * 1000 && !isFirst)) return;
		const isPast = frame.timestamp <= this.#shown || (this.#isJoining(now) && frame.timestamp < (due - PAST_MS) * 1000);
		if (isPast && !isFirst) return;
		this.#decoded.shift();
		this.#shown = frame.timestamp;
		this.framesShown++;
		draw(frame, frame.timestamp <= due * 1000 && !isFirst);
	}

	/**
	 * With a newer key frame due, or one that has come while the decoder does not keep up, nothing before it is worth decoding.
	 *
	 * @param {number} now
	 * @param {number} due
	 */
	#giveUpLate(now, due) {
		const [first] = this.#waiting;
		if (!first || first === "end") return;
		const key = this.#waiting.findLastIndex((frame) => frame !== "end" && frame.key && frame.time <= due);
		if (key > 0) {
			this.#dropWaiting(now, key);
		} else if (first.time <= due && now - first.receivedAt > MAX_WAIT_MS && now - this.#startedAt > CATCH_UP_MS) {
			this.#skipToNewestKey("the decoder does not keep up");
		}
	}

	/** @param {number} now */
	#isJoining(now) {
		return now - this.#startedAt <= JOIN_MS;
	}

	/** @param {Uint8Array} record */
	#configure(record) {
		const config = avcConfig(record);
		if (!config) return this.#handlers.handleTrouble("the video's configuration makes no sense");
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
			this.#handlers.handleTrouble(`this browser does not play ${config.codec}: ${error}`);
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
		this.#failures = 0;
		this.#handlers.handleDecoded();
	}

	/**
	 * A decoder that failed is of no more use; the next key frame gets a new one.
	 *
	 * @param {VideoDecoder} decoder
	 * @param {unknown} error
	 */
	#handleDecoderError(decoder, error) {
		if (decoder !== this.#decoder) return;
		this.#handlers.handleTrouble(`video decoding failed: ${error}`);
		this.#closeDecoder();
		this.#skipToNewestKey("the decoder failed");
		if (++this.#failures === MAX_FAILURES) this.#handlers.handleUndecodable();
	}

	#closeDecoder() {
		if (this.#decoder && this.#decoder.state !== "closed") this.#decoder.close();
		this.#decoder = undefined;
	}

	/** @param {string} why */
	#skipToNewestKey(why) {
		const newest = this.#waiting.findLastIndex((frame) => frame !== "end" && frame.key);
		if (newest < 0) this.#needsKey = true;
		this.framesDropped += this.#waiting.splice(0, newest < 0 ? this.#waiting.length : newest).length;
		this.#handlers.handleRestart(why);
	}

	/**
	 * @param {number} now
	 * @param {number} count
	 */
	#dropWaiting(now, count) {
		const dropped = this.#waiting.splice(0, count).length;
		if (!this.#isJoining(now)) this.framesDropped += dropped;
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
