// @ts-check
/**
 * One stream from its address to a canvas and an audio port; runs in a worker, because a hidden page's timers are
 * slowed down and acknowledgements must not be.
 * @module
 */

import { AudioTrack } from "./media/audio.js";
import { drawFrame } from "./media/draw.js";
import { Schedule } from "./media/schedule.js";
import { Timeline } from "./media/timeline.js";
import { VideoTrack } from "./media/video.js";
import { FromWorker, State, Transport } from "./names.js";
import { Connection, candidates } from "./transport/connection.js";

/** Wait before the first try to connect again, in milliseconds. Doubles with each that fails. */
const FIRST_RETRY_MS = 250;
/** Longest wait before a try, in milliseconds. */
const LAST_RETRY_MS = 5000;
/** A quarter of the wait is left to chance, so that viewers of a gateway that restarts do not all come at once. */
const RETRY_JITTER = 0.25;
const STATS_INTERVAL_MS = 250;

/** @type {(callback: () => void) => unknown} Workers of browsers without OffscreenCanvas know no frames. */
const nextPaint = self.requestAnimationFrame?.bind(self) ?? ((callback) => setTimeout(callback, 16));

/**
 * What the statistics line shows. Times are in milliseconds.
 *
 * `delayMs` is how far what is shown lies behind the gateway: behind the moment at which the fastest path of the last
 * seconds would have brought it here, plus half of the round-trip time. It leaves out what happened before the
 * gateway had the frame, and the screen.
 *
 * @typedef {object} Stats
 * @property {string} state
 * @property {number} framesShown
 * @property {number} framesDropped frames that came but were too late to be shown
 * @property {number} audioSeconds seconds of sound that were played
 * @property {number} underruns how often there was no sound where some was due
 * @property {boolean} audioLeads whether the audio clock leads, and not the wall clock
 * @property {number | undefined} delayMs
 * @property {number} targetMs what the delay without the round trip should be
 * @property {number} bufferMs what is here and not yet shown
 * @property {number | undefined} rttMs
 * @property {number} gaps messages that the gateway gave up
 * @property {number} width
 * @property {number} height
 * @property {string | undefined} transport
 * @property {import("./transport/race.js").Entrant[]} race how the transport was chosen
 */

/** A viewer of one stream. */
export class Viewer {
	#source;
	#canvas;
	#post;
	#life = new AbortController();
	#transports;
	/** @type {{ link: Connection, abort: AbortController } | undefined} */
	#connection;
	#failures = 0;
	/** @type {string} */
	#state = State.CONNECTING;
	#paused = false;

	#schedule = new Schedule();
	#timeline = new Timeline();
	#newest = -Infinity;
	#video;
	#audio;
	#gaps = 0;
	#size = { width: 0, height: 0 };

	/**
	 * @param {import("./source.js").Source} source
	 * @param {{ wanted: string, remembered?: string }} transports which is wanted, and which won last
	 * @param {OffscreenCanvas | undefined} canvas without one, frames are posted
	 * @param {(message: object, transfer?: Transferable[]) => void} post to the page
	 */
	constructor(source, transports, canvas, post) {
		this.#source = source;
		this.#transports = transports;
		this.#canvas = canvas;
		this.#post = post;
		/** @param {string} message */
		const trouble = (message) => post({ type: FromWorker.TROUBLE, message });
		this.#video = new VideoTrack(trouble);
		this.#audio = new AudioTrack(this.#schedule, (format) => post({ type: FromWorker.AUDIO_FORMAT, format }), trouble);
		this.#connect();
		this.#repeat();
		const interval = setInterval(() => this.#postStats(), STATS_INTERVAL_MS);
		this.#life.signal.addEventListener("abort", () => clearInterval(interval), { once: true });
	}

	/**
	 * Gives it something to be heard by, or takes it away.
	 *
	 * @param {{ port: MessagePort, format: import("./media/audio.js").AudioFormat } | undefined} output
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
	 * Stops where it is, or goes on with what is live then.
	 *
	 * @param {boolean} paused
	 */
	pause(paused) {
		if (paused === this.#paused) return;
		this.#paused = paused;
		this.#connection?.link.command((conversation) => conversation.pause(paused));
		this.#forgetMedia();
		this.#setState(paused ? State.PAUSED : State.WAITING);
	}

	/** Ends it for good. May be called twice. */
	close() {
		this.#life.abort();
		this.#connection?.abort.abort();
		this.#forgetMedia();
		this.#audio.setOutput(undefined);
		this.#setState(State.CLOSED);
	}

	#connect() {
		const abort = new AbortController();
		const { wanted, remembered } = this.#transports;
		const link = new Connection(
			this.#source,
			candidates(wanted, remembered),
			{
				handleChosen: (transport) => this.#remember(transport),
				handleEvent: (now, event) => this.#handleEvent(now, event),
				handleClosed: (reason) => this.#handleClosed(reason),
			},
			abort.signal,
		);
		this.#connection = { link, abort };
	}

	/** @param {string} reason */
	#handleClosed(reason) {
		this.#remember(undefined);
		this.#connection?.abort.abort();
		this.#connection = undefined;
		this.#forgetMedia();
		this.#timeline = new Timeline();
		this.#setState(State.RECONNECTING, reason);
		const wait = Math.min(FIRST_RETRY_MS * 2 ** this.#failures++, LAST_RETRY_MS) * (1 - RETRY_JITTER * Math.random());
		const timer = setTimeout(() => this.#connect(), wait);
		this.#life.signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
	}

	/** @param {string | undefined} transport */
	#remember(transport) {
		const { wanted, remembered } = this.#transports;
		if (wanted !== Transport.AUTO || transport === remembered) return;
		this.#transports = { wanted, remembered: transport };
		this.#post({ type: FromWorker.TRANSPORT, transport });
	}

	/**
	 * @param {number} now
	 * @param {import("./conversation.js").ConversationEvent} event
	 */
	#handleEvent(now, event) {
		switch (event.type) {
			case "started":
				this.#failures = 0;
				if (event.targetDelayMs !== undefined) this.#schedule.setHint(event.targetDelayMs);
				this.#setState(State.WAITING);
				if (this.#paused) this.#connection?.link.command((conversation) => conversation.pause(true));
				return;
			case "published":
				// A publisher that returns goes on with the time line, but not with the pace, of the one that left.
				this.#schedule.reset();
				return;
			case "unpublished":
			case "waiting":
				return this.#setState(State.WAITING);
			case "metadata":
				return this.#post({ type: FromWorker.METADATA, metadata: { ...event.metadata } });
			case "gap":
				this.#gaps += event.messages;
				if (event.video) this.#video.handleGap();
				return;
			case "unit":
				return this.#handleUnit(now, event.unit);
		}
	}

	/**
	 * @param {number} now
	 * @param {import("./media/flv.js").Unit} unit
	 */
	#handleUnit(now, unit) {
		if (this.#paused && unit.kind !== "configuration") return;
		const track = unit.track === "video" ? this.#video : undefined;
		if (unit.kind !== "key" && unit.kind !== "delta") {
			if (track) return track.push(unit, 0);
			return this.#audio.push(now, unit, 0);
		}
		const time = this.#timeline.unwrap(unit.timestamp);
		this.#newest = Math.max(this.#newest, time);
		this.#schedule.handleReceived(now, unit.track, time);
		if (track) track.push(unit, time);
		else this.#audio.push(now, unit, time);
		this.#video.advance(now, this.#position(now) ?? -Infinity);
		this.#setState(State.PLAYING);
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
		if (this.#life.signal.aborted) return;
		const now = performance.now();
		const position = this.#position(now);
		if (position !== undefined && !this.#paused) this.#video.present(now, position, (frame) => this.#draw(frame));
		nextPaint(() => this.#repeat());
	}

	/** @param {VideoFrame} frame */
	#draw(frame) {
		this.#size = { width: frame.displayWidth, height: frame.displayHeight };
		if (!this.#canvas) return this.#post({ type: FromWorker.FRAME, frame }, [frame]);
		drawFrame(this.#canvas, frame);
	}

	#forgetMedia() {
		this.#schedule.reset();
		this.#newest = -Infinity;
		this.#video.reset();
		this.#audio.reset();
	}

	/**
	 * @param {string} state
	 * @param {string} [reason]
	 */
	#setState(state, reason) {
		if (this.#paused && state !== State.CLOSED) state = State.PAUSED;
		if (state === this.#state) return;
		this.#state = state;
		this.#post({ type: FromWorker.STATE, state, reason });
	}

	#postStats() {
		const now = performance.now();
		const position = this.#position(now);
		const edge = this.#schedule.edge(now);
		const rttMs = this.#connection?.link.rtt;
		/** @type {Stats} */
		const stats = {
			state: this.#state,
			framesShown: this.#video.framesShown,
			framesDropped: this.#video.framesDropped,
			audioSeconds: this.#audio.seconds,
			underruns: this.#audio.underruns,
			audioLeads: this.#audio.time(now) !== undefined,
			delayMs: position === undefined || edge === undefined ? undefined : edge - position + (rttMs ?? 0) / 2,
			targetMs: this.#schedule.target(now),
			bufferMs: position === undefined ? 0 : Math.max(this.#newest - position, 0),
			rttMs,
			gaps: this.#gaps,
			transport: this.#connection?.link.transport,
			race: this.#connection?.link.entrants ?? [],
			...this.#size,
		};
		this.#post({ type: FromWorker.STATS, stats });
	}
}
