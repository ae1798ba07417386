// @ts-check
/**
 * One stream from its address to what plays it; runs in a worker, because a hidden page's timers are slowed down and
 * acknowledgements must not be.
 * @module
 */

import { MseRemote } from "./media/mse-remote.js";
import { WebCodecsPlayer, hasWebCodecs } from "./media/webcodecs.js";
import { Decode, Format, FromWorker, State, Transport } from "./names.js";
import { Connection, candidates } from "./transport/connection.js";

/** Wait before the first try to connect again, in milliseconds. Doubles with each that fails. */
const FIRST_RETRY_MS = 250;
/** Longest wait before a try, in milliseconds. */
const LAST_RETRY_MS = 5000;
/** A quarter of the wait is left to chance, so that viewers of a gateway that restarts do not all come at once. */
const RETRY_JITTER = 0.25;
const STATS_INTERVAL_MS = 250;

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
 * @property {number | undefined} skewMs how far pictures are behind the sound, smoothed; behind the wall clock where that leads
 * @property {number} gaps messages that the gateway gave up
 * @property {number} width
 * @property {number} height
 * @property {string | undefined} transport
 * @property {string} decode what decodes
 * @property {import("./transport/race.js").Entrant[]} race how the transport was chosen
 */

/**
 * What the page wants and has: a transport and which won last, what is to decode, and Media Source Extensions.
 *
 * @typedef {{ transport: string, remembered?: string, decode: string, hasMediaSource: boolean }} Wishes
 */

/** A viewer of one stream. */
export class Viewer {
	#source;
	#canvas;
	#post;
	#life = new AbortController();
	#wishes;
	/** @type {{ link: Connection, abort: AbortController } | undefined} */
	#connection;
	#failures = 0;
	/** @type {string} */
	#state = State.CONNECTING;
	#paused = false;

	/** @type {string} What is asked for over flows. */
	#format;
	/** @type {WebCodecsPlayer | MseRemote} */
	#player;
	/** @type {string} */
	#decode = Decode.WEBCODECS;
	#gaps = 0;

	/**
	 * @param {import("./source.js").Source} source
	 * @param {Wishes} wishes
	 * @param {OffscreenCanvas | undefined} canvas without one, frames are posted
	 * @param {(message: object, transfer?: Transferable[]) => void} post to the page
	 */
	constructor(source, wishes, canvas, post) {
		this.#source = source;
		this.#wishes = wishes;
		this.#canvas = canvas;
		this.#post = post;
		this.#format = firstFormat(wishes);
		this.#player = this.#createPlayer();
		this.#connect();
		const interval = setInterval(() => this.#postStats(), STATS_INTERVAL_MS);
		this.#life.signal.addEventListener("abort", () => clearInterval(interval), { once: true });
	}

	/**
	 * Gives it something to be heard by, or takes it away.
	 *
	 * @param {{ port: MessagePort, format: import("./media/audio.js").AudioFormat } | undefined} output
	 */
	setOutput(output) {
		this.#player.setOutput(output);
	}

	/**
	 * How long a sample takes from the audio thread to the ear.
	 *
	 * @param {number} ms
	 */
	setLatency(ms) {
		this.#player.setLatency(ms);
	}

	/**
	 * Stops where it is, or goes on with what is live then.
	 *
	 * @param {boolean} paused
	 */
	pause(paused) {
		if (paused === this.#paused) return;
		this.#paused = paused;
		this.#connection?.link.pause(paused);
		this.#player.reset();
		this.#setState(paused ? State.PAUSED : State.WAITING);
	}

	/** Ends it for good. May be called twice. */
	close() {
		this.#life.abort();
		this.#connection?.abort.abort();
		this.#player.close();
		this.#setState(State.CLOSED);
	}

	#connect() {
		const abort = new AbortController();
		const { transport, remembered, decode, hasMediaSource } = this.#wishes;
		const link = new Connection(
			this.#source,
			candidates(transport, remembered, hasMediaSource ? decode : Decode.WEBCODECS),
			this.#format,
			{
				handleChosen: (transport, format) => {
					this.#remember(transport);
					this.#setDecode(format === Format.RAW ? Decode.WEBCODECS : Decode.MSE);
				},
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
		this.#player.restart();
		this.#setState(State.RECONNECTING, reason);
		const wait = Math.min(FIRST_RETRY_MS * 2 ** this.#failures++, LAST_RETRY_MS) * (1 - RETRY_JITTER * Math.random());
		const timer = setTimeout(() => this.#connect(), wait);
		this.#life.signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
	}

	/** @param {string | undefined} transport */
	#remember(transport) {
		if (this.#wishes.transport !== Transport.AUTO || transport === this.#wishes.remembered) return;
		this.#wishes = { ...this.#wishes, remembered: transport };
		this.#post({ type: FromWorker.TRANSPORT, transport });
	}

	/**
	 * @param {number} now
	 * @param {import("./conversation.js").ConversationEvent} event
	 */
	#handleEvent(now, event) {
		if (!this.#paused || !isMedia(event)) this.#player.handleEvent(now, event);
		switch (event.type) {
			case "started":
				this.#failures = 0;
				this.#setState(State.WAITING);
				if (this.#paused) this.#connection?.link.pause(true);
				return;
			case "unpublished":
			case "waiting":
				return this.#setState(State.WAITING);
			case "metadata":
				return this.#post({ type: FromWorker.METADATA, metadata: { ...event.metadata } });
			case "gap":
				this.#gaps += event.messages;
				return;
			default:
				if (isMedia(event)) this.#setState(State.PLAYING);
		}
	}

	/** @param {string} decode one of `Decode` */
	#setDecode(decode) {
		if (decode === this.#decode) return;
		this.#player.close();
		this.#decode = decode;
		this.#player = this.#createPlayer();
	}

	#createPlayer() {
		this.#post({ type: FromWorker.DECODE, decode: this.#decode });
		if (this.#decode === Decode.MSE) return new MseRemote(this.#post);
		return new WebCodecsPlayer(this.#canvas, this.#post, () => this.#handleUndecodable());
	}

	/** What WebCodecs can't decode, Media Source Extensions may. */
	#handleUndecodable() {
		const { decode, hasMediaSource } = this.#wishes;
		if (decode !== Decode.AUTO || !hasMediaSource || this.#format !== Format.RAW) return;
		this.#format = Format.FMP4;
		this.#connection?.abort.abort();
		this.#connect();
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
		const rttMs = this.#connection?.link.rtt;
		/** @type {Stats} */
		const stats = {
			state: this.#state,
			rttMs,
			gaps: this.#gaps,
			transport: this.#connection?.link.transport,
			decode: this.#decode,
			race: this.#connection?.link.entrants ?? [],
			...this.#player.stats(performance.now(), rttMs),
		};
		this.#post({ type: FromWorker.STATS, stats });
	}
}

/** @param {Wishes} wishes */
function firstFormat({ decode, hasMediaSource }) {
	if (decode === Decode.AUTO) return hasWebCodecs() || !hasMediaSource ? Format.RAW : Format.FMP4;
	return decode === Decode.MSE ? Format.FMP4 : Format.RAW;
}

/**
 * Whether an event is of what is seen or heard, and no preparation for it.
 *
 * @param {import("./conversation.js").ConversationEvent} event
 */
function isMedia(event) {
	if (event.type === "tlv") return event.message.type === "segment";
	return event.type === "unit" && (event.unit.kind === "key" || event.unit.kind === "delta");
}
