// @ts-check
/** A stream's units on a canvas and in an audio port, by WebCodecs. */

import { FromWorker } from "../names.js";
import { AudioTrack } from "./audio.js";
import { aacConfig, avcConfig } from "./codec.js";
import { drawFrame } from "./draw.js";
import { Schedule } from "./schedule.js";
import { Skew } from "./skew.js";
import { Timeline } from "./timeline.js";
import { VideoTrack } from "./video.js";

/** @typedef {import("./flv.js").Unit} Unit */

/** @type {(callback: () => void) => unknown} Workers of browsers without OffscreenCanvas know no frames. */
const nextPaint = globalThis.requestAnimationFrame?.bind(globalThis) ?? ((callback) => setTimeout(callback, 16));

/** Whether this browser has what is needed. Pages that are not secure don't. */
export function hasWebCodecs() {
	return "VideoDecoder" in globalThis && "AudioDecoder" in globalThis;
}

/** Plays by decoding. */
export class WebCodecsPlayer {
	#canvas;
	#post;
	#handleUndecodable;
	#closed = false;
	#schedule = new Schedule();
	#timeline = new Timeline();
	#skew = new Skew();
	#newest = -Infinity;
	#video;
	#audio;
	#size = { width: 0, height: 0 };

	/**
	 * @param {OffscreenCanvas | undefined} canvas without one, frames are posted
	 * @param {(message: object, transfer?: Transferable[]) => void} post to the page
	 * @param {() => void} handleUndecodable the stream is one that this browser can't decode
	 */
	constructor(canvas, post, handleUndecodable) {
		this.#canvas = canvas;
		this.#post = post;
		this.#handleUndecodable = handleUndecodable;
		/** @param {string} message */
		const trouble = (message) => post({ type: FromWorker.TROUBLE, message });
		this.#video = new VideoTrack(trouble);
		this.#audio = new AudioTrack(this.#schedule, (format) => post({ type: FromWorker.AUDIO_FORMAT, format }), trouble);
		this.#repeat();
	}

	/**
	 * Gives it something to be heard by, or takes it away.
	 *
	 * @param {{ port: MessagePort, format: import("./audio.js").AudioFormat } | undefined} output
	 */
	setOutput(output) {
		this.#audio.setOutput(output);
	}

	/**
	 * How long a sample takes from the audio thread to the ear.
	 *
	 * @param {number} ms
	 */
	setLatency(ms) {
		this.#audio.setLatency(ms);
	}

	/**
	 * Takes what came of the stream.
	 *
	 * @param {number} now
	 * @param {import("../conversation.js").ConversationEvent} event
	 */
	handleEvent(now, event) {
		if (event.type === "unit") this.#handleUnit(now, event.unit);
		else if (event.type === "gap" && event.video) this.#video.handleGap();
		else if (event.type === "started" && event.targetDelayMs !== undefined) this.#schedule.setHint(event.targetDelayMs);
		// A publisher that returns goes on with the time line, but not with the pace, of the one that left.
		else if (event.type === "published") this.#schedule.reset();
	}

	/** Forgets what has not been played; goes on with what comes. */
	reset() {
		this.#schedule.reset();
		this.#newest = -Infinity;
		this.#video.reset();
		this.#audio.reset();
		this.#skew.reset();
	}

	/** What comes next is on another time line. */
	restart() {
		this.reset();
		this.#timeline = new Timeline();
	}

	/** Ends it. May be called twice. */
	close() {
		this.#closed = true;
		this.reset();
		this.#audio.setOutput(undefined);
	}

	/**
	 * What the statistics have of it.
	 *
	 * @param {number} now
	 * @param {number} [rttMs]
	 */
	stats(now, rttMs = 0) {
		const position = this.#position(now);
		const edge = this.#schedule.edge(now);
		return {
			framesShown: this.#video.framesShown,
			framesDropped: this.#video.framesDropped,
			audioSeconds: this.#audio.seconds,
			underruns: this.#audio.underruns,
			audioLeads: this.#audio.time(now) !== undefined,
			delayMs: position === undefined || edge === undefined ? undefined : edge - position + rttMs / 2,
			targetMs: this.#schedule.target(now),
			bufferMs: position === undefined ? 0 : Math.max(this.#newest - position, 0),
			skewMs: this.#skew.ms,
			...this.#size,
		};
	}

	/**
	 * @param {number} now
	 * @param {Unit} unit
	 */
	#handleUnit(now, unit) {
		const track = unit.track === "video" ? this.#video : undefined;
		if (unit.kind !== "key" && unit.kind !== "delta") {
			this.#check(unit);
			if (track) return track.push(unit, 0);
			return this.#audio.push(now, unit, 0);
		}
		const time = this.#timeline.unwrap(unit.timestamp);
		this.#newest = Math.max(this.#newest, time);
		this.#schedule.handleReceived(now, unit.track, time);
		if (track) track.push(unit, time);
		else this.#audio.push(now, unit, time);
		this.#video.advance(now, this.#position(now) ?? -Infinity);
	}

	/** @param {Unit} unit */
	async #check({ track, kind, payload }) {
		if (kind === "end") return;
		const can = kind === "configuration" && (await (track === "video" ? canDecodeVideo(payload) : canDecodeAudio(payload)));
		if (!can && !this.#closed) this.#handleUndecodable();
	}

	/**
	 * The stream time that is to be seen now: what is heard, or what is due when nothing is.
	 *
	 * @param {number} now
	 */
	#position(now) {
		return this.#audio.time(now) ?? this.#schedule.due(now);
	}

	#repeat() {
		if (this.#closed) return;
		const now = performance.now();
		const position = this.#position(now);
		if (position !== undefined) this.#video.present(now, position, (frame) => this.#draw(position, frame));
		nextPaint(() => this.#repeat());
	}

	/**
	 * @param {number} position
	 * @param {VideoFrame} frame
	 */
	#draw(position, frame) {
		this.#size = { width: frame.displayWidth, height: frame.displayHeight };
		this.#skew.handleShown(position, frame.timestamp / 1000);
		if (!this.#canvas) return this.#post({ type: FromWorker.FRAME, frame }, [frame]);
		drawFrame(this.#canvas, frame);
	}
}

/** @param {Uint8Array} record one that makes no sense is trouble of another kind */
async function canDecodeVideo(record) {
	const config = avcConfig(record);
	return !config || (await VideoDecoder.isConfigSupported(config)).supported;
}

/** @param {Uint8Array} record one that makes no sense is trouble of another kind */
async function canDecodeAudio(record) {
	const config = aacConfig(record);
	return !config || (await AudioDecoder.isConfigSupported(config)).supported;
}
