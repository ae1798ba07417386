// @ts-check
/** A stream's units on a canvas and in an audio port, by WebCodecs. */

import { Decision, FromWorker } from "../names.js";
import { AudioTrack } from "./audio.js";
import { aacConfig, avcConfig } from "./codec.js";
import { drawFrame } from "./draw.js";
import { Playhead, describePace } from "./pace.js";
import { Schedule } from "./schedule.js";
import { Skew } from "./skew.js";
import { Timeline } from "./timeline.js";
import { VideoTrack } from "./video.js";

/** @typedef {import("./flv.js").Unit} Unit */

/** A timestamp further than this from what was to be expected is one of another time line, in milliseconds. */
const OTHER_LINE_MS = 1000;

/** @type {(callback: () => void) => unknown} Workers of browsers without OffscreenCanvas know no frames. */
const nextPaint = globalThis.requestAnimationFrame?.bind(globalThis) ?? ((callback) => setTimeout(callback, 16));

/** Whether this browser has what is needed. Pages that are not secure don't. */
export function hasWebCodecs() {
	return "VideoDecoder" in globalThis && "AudioDecoder" in globalThis;
}

/**
 * @typedef {object} PlayerHandlers
 * @property {() => void} handleUndecodable the stream is one that this browser can't decode
 * @property {(kind: string, detail: string) => void} handleDecision what it has decided, a kind of `Decision`
 */

/** Plays by decoding. */
export class WebCodecsPlayer {
	#canvas;
	#post;
	#handlers;
	#closed = false;
	#schedule = new Schedule();
	#playhead = new Playhead();
	#timeline = new Timeline();
	#skew = new Skew();
	#newest = -Infinity;
	#hasVideo = true;
	#video;
	#audio;
	#size = { width: 0, height: 0 };
	/** @type {number | undefined} When the first picture was shown. */
	#firstShownAt;
	/** -1 slower, 1 faster, as far as it was told. */
	#speed = 0;

	/**
	 * @param {OffscreenCanvas | undefined} canvas without one, frames are posted
	 * @param {(message: object, transfer?: Transferable[]) => void} post to the page
	 * @param {PlayerHandlers} handlers
	 */
	constructor(canvas, post, handlers) {
		this.#canvas = canvas;
		this.#post = post;
		this.#handlers = handlers;
		/** @param {string} message */
		const handleTrouble = (message) => post({ type: FromWorker.TROUBLE, message });
		this.#video = new VideoTrack({
			handleTrouble,
			handleRestart: (why) => handlers.handleDecision(Decision.KEYFRAME, why),
			handleUndecodable: () => handlers.handleUndecodable(),
			handleDecoded: () => this.#advance(performance.now()),
		});
		this.#audio = new AudioTrack(this.#schedule, {
			handleTrouble,
			handleFormat: (format) => post({ type: FromWorker.AUDIO_FORMAT, format }),
			handlePace: (pace) => this.#handlePace(pace),
			handleSkip: (ms) => handlers.handleDecision(Decision.SKIP, `${Math.round(ms)} ms of sound`),
		});
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

	/**
	 * Another connection takes over, and begins with the newest group.
	 *
	 * @param {number} now
	 * @param {number | undefined} timestamp of the newest unit that it has brought
	 */
	migrate(now, timestamp) {
		const edge = this.#schedule.edge(now);
		const isSameLine = edge !== undefined && timestamp !== undefined && Math.abs(this.#timeline.peek(timestamp) - edge) < OTHER_LINE_MS;
		if (!isSameLine) return this.restart();
		this.rejoin(now);
	}

	/**
	 * Pictures come again, beginning with the newest group.
	 *
	 * @param {number} now
	 */
	rejoin(now) {
		this.#schedule.settle(now);
		this.#video.rejoin();
	}

	/**
	 * Whether pictures come.
	 *
	 * @param {number} now
	 * @param {boolean} wanted
	 */
	setVideo(now, wanted) {
		if (wanted && !this.#hasVideo) this.rejoin(now);
		this.#hasVideo = wanted;
	}

	/** Forgets what has not been played; goes on with what comes. */
	reset() {
		this.#schedule.reset();
		this.#playhead.reset();
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
		this.#schedule.setRoundTrip(rttMs);
		const position = this.#position(now);
		const edge = this.#schedule.edge(now);
		return {
			firstShownAt: this.#firstShownAt,
			framesShown: this.#video.framesShown,
			framesDropped: this.#video.framesDropped,
			audioSeconds: this.#audio.seconds,
			underruns: this.#audio.underruns,
			audioLeads: this.#audio.time(now) !== undefined,
			delayMs: position === undefined || edge === undefined ? undefined : edge - position + rttMs / 2,
			targetMs: this.#schedule.target(now),
			bufferMs: position === undefined ? 0 : Math.max(this.#newest - position, 0),
			skewMs: this.#skew.ms,
			pace: this.#audio.time(now) === undefined ? this.#playhead.pace : this.#audio.pace,
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
			if (track) return track.push(now, unit, 0);
			return this.#audio.push(now, unit, 0);
		}
		const time = this.#timeline.unwrap(unit.timestamp);
		this.#newest = Math.max(this.#newest, time);
		if (this.#schedule.handleReceived(now, unit.track, time)) this.#beginAnew();
		if (track) track.push(now, unit, time);
		else this.#audio.push(now, unit, time);
		this.#advance(now);
	}

	/** @param {Unit} unit */
	async #check({ track, kind, payload }) {
		if (kind === "end") return;
		const can = kind === "configuration" && (await (track === "video" ? canDecodeVideo(payload) : canDecodeAudio(payload)));
		if (!can && !this.#closed) this.#handlers.handleUndecodable();
	}

	/** The stream's time has stepped back. */
	#beginAnew() {
		this.#newest = -Infinity;
		this.#video.reset();
		this.#audio.reset();
		this.#handlers.handleDecision(Decision.SKIP, "to a new time line");
	}

	/** @param {number} now */
	#advance(now) {
		this.#video.advance(now, this.#position(now) ?? -Infinity);
	}

	/**
	 * The stream time that is to be seen now: what is heard, or what is due when nothing is.
	 *
	 * @param {number} now
	 */
	#position(now) {
		return this.#audio.time(now) ?? this.#playhead.time(now) ?? this.#schedule.due(now);
	}

	#repeat() {
		if (this.#closed) return;
		const now = performance.now();
		this.#steer(now);
		const position = this.#position(now);
		if (position !== undefined) this.#video.present(now, position, (frame, isDue) => this.#draw(position, frame, isDue));
		nextPaint(() => this.#repeat());
	}

	/**
	 * Has pictures follow the sound, or what is due.
	 *
	 * @param {number} now
	 */
	#steer(now) {
		const heard = this.#audio.time(now);
		if (heard !== undefined) return this.#playhead.follow(now, heard);
		const due = this.#schedule.due(now);
		if (due === undefined) return;
		const { pace } = this.#playhead;
		const skipped = this.#playhead.steer(now, due);
		if (skipped !== 0) this.#handlers.handleDecision(Decision.SKIP, `${Math.round(skipped)} ms`);
		if (pace !== this.#playhead.pace) this.#handlePace(this.#playhead.pace);
	}

	/** @param {number} pace */
	#handlePace(pace) {
		const speed = Math.sign(pace - 1);
		if (speed === this.#speed) return;
		this.#speed = speed;
		this.#handlers.handleDecision(Decision.SPEED, describePace(pace));
	}

	/**
	 * @param {number} position
	 * @param {VideoFrame} frame
	 * @param {boolean} isDue whether it's shown for its time
	 */
	#draw(position, frame, isDue) {
		this.#size = { width: frame.displayWidth, height: frame.displayHeight };
		if (isDue) this.#skew.handleShown(position, frame.timestamp / 1000);
		this.#firstShownAt ??= performance.now();
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
