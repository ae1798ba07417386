// @ts-check
/**
 * `<headwater-player src="/watch/app/name" transport="auto" decode="auto" autoplay muted>`: a live stream on a page.
 *
 * The element is thin: attributes in, events and `stats` out. All that plays is in the worker, but for what only pages can have: a
 * `<video>` and sound.
 * @module
 */

import { sheet } from "./element.css.js";
import { drawFrame } from "./media/draw.js";
import { MsePlayer, hasMediaSource } from "./media/mse.js";
import { AudioOutput } from "./media/output.js";
import { Attribute, Decode, EventName, FromWorker, State, ToWorker, Transport } from "./names.js";
import { watchSurroundings } from "./session/surroundings.js";
import { parseSource } from "./source.js";
import { Memory } from "./transport/memory.js";

/** @typedef {import("./viewer.js").Stats} Stats */
/** @typedef {import("./media/audio.js").AudioFormat} AudioFormat */

const NAME = "headwater-player";

/** What people read in each state; in the others they see the picture. */
const MESSAGES = Object.freeze({
	[State.CONNECTING]: "Connecting …",
	[State.WAITING]: "Waiting for the stream …",
	[State.RECONNECTING]: "Connection lost. Trying again …",
});

/** Which transport won last at which gateway. */
const memory = new Memory(() => localStorage);

/** The player. */
export class HeadwaterPlayer extends HTMLElement {
	static observedAttributes = [Attribute.SRC, Attribute.MUTED, Attribute.TRANSPORT, Attribute.DECODE];

	/** @type {Stats | undefined} */
	#stats;
	/** @type {string} */
	#state = State.CLOSED;
	/** @type {{ worker: Worker, gateway: string, abort: AbortController } | undefined} */
	#playing;
	#muted = false;
	/** The browser refused to play sound until somebody asks for it. */
	#locked = false;
	/** @type {AudioFormat | undefined} */
	#format;
	/** @type {AudioOutput | undefined} */
	#output;

	/** @type {MsePlayer | undefined} */
	#mse;

	#canvas = document.createElement("canvas");
	#video = document.createElement("video");
	#message = element("div", "message");
	#start = element("button", "start");
	#mute = element("button", "mute");
	#line = element("span", "stats");

	constructor() {
		super();
		const root = this.attachShadow({ mode: "open" });
		root.adoptedStyleSheets = [sheet];
		const bar = element("div", "bar");
		bar.append(this.#start, this.#mute, this.#line);
		this.#message.setAttribute("role", "status");
		this.#video.hidden = true;
		this.#video.playsInline = true;
		root.append(this.#canvas, this.#video, this.#message, bar);
		this.#start.addEventListener("click", () => (this.paused ? this.play() : this.pause()));
		this.#mute.addEventListener("click", () => (this.muted = !this.muted));
		this.#render();
	}

	/** Statistics of four times a second; nothing before the first. */
	get stats() {
		return this.#stats;
	}

	/** One of `State`. */
	get state() {
		return this.#state;
	}

	/** Whether it was not started, or was stopped. */
	get paused() {
		return this.#state === State.CLOSED || this.#state === State.PAUSED;
	}

	/** Whether it cannot be heard, because somebody wants so or because the browser does. Set to false, it may ask the browser again. */
	get muted() {
		return this.#muted || this.#locked;
	}

	set muted(muted) {
		this.#muted = muted;
		this.#locked = false;
		this.#applyAudio();
		this.#renderMute();
	}

	/** Starts, or goes on with what is live now. */
	play() {
		if (!this.#playing) return this.#open();
		this.#tell({ type: ToWorker.PAUSE, paused: false });
	}

	/** Stops where it is. */
	pause() {
		this.#tell({ type: ToWorker.PAUSE, paused: true });
	}

	/** Ends everything; `play` starts anew. May be called twice. */
	close() {
		if (!this.#playing) return;
		this.#tell({ type: ToWorker.CLOSE });
		this.#playing.abort.abort();
		this.#playing = undefined;
		this.#setDecode(undefined);
		this.#setState(State.CLOSED);
	}

	connectedCallback() {
		this.#muted = this.hasAttribute(Attribute.MUTED);
		this.#renderMute();
		if (this.hasAttribute(Attribute.AUTOPLAY)) this.play();
	}

	disconnectedCallback() {
		this.close();
	}

	/**
	 * @param {string} name
	 * @param {string | null} before
	 * @param {string | null} after
	 */
	attributeChangedCallback(name, before, after) {
		if (!this.isConnected || before === after) return;
		if (name === Attribute.MUTED) {
			this.muted = after !== null;
		} else if (this.#playing) {
			this.close();
			this.play();
		}
	}

	#open() {
		const text = this.getAttribute(Attribute.SRC) ?? "";
		const source = parseSource(text, document.baseURI);
		if (!source) {
			console.warn(`<${NAME}>: src is to be /watch/app/name or a WebSocket URL, not "${text}"`);
			return this.#say("No stream to play");
		}
		// A canvas can be given away once only.
		const canvas = document.createElement("canvas");
		this.#canvas.replaceWith(canvas);
		this.#canvas = canvas;
		const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: NAME });
		const abort = new AbortController();
		const gateway = new URL(source.url).origin;
		const transport = this.#wish(Attribute.TRANSPORT, Transport);
		const decode = this.#wish(Attribute.DECODE, Decode);
		/** @type {import("./viewer.js").Wishes} */
		const wishes = { transport, remembered: memory.recall(Date.now(), gateway), decode, hasMediaSource };
		this.#playing = { worker, gateway, abort };
		const { signal } = abort;
		worker.addEventListener("message", ({ data }) => this.#handleWorker(data), { signal });
		worker.addEventListener("error", (event) => this.#emit(EventName.TROUBLE, event.message || "the player's worker failed"), { signal });
		const offscreen = canvas.transferControlToOffscreen?.();
		worker.postMessage({ type: ToWorker.OPEN, source, wishes, canvas: offscreen }, offscreen ? [offscreen] : []);
		watchSurroundings((message) => this.#tell(message), signal);
		this.#setState(State.CONNECTING);
	}

	/**
	 * What an attribute asks for.
	 *
	 * @param {string} name
	 * @param {{ AUTO: string, [name: string]: string }} choices
	 * @returns {string}
	 */
	#wish(name, choices) {
		const wanted = this.getAttribute(name) ?? choices.AUTO;
		if (Object.values(choices).includes(wanted)) return wanted;
		console.warn(`<${NAME}>: ${name} is to be one of ${Object.values(choices).join(", ")}, not "${wanted}"`);
		return choices.AUTO;
	}

	/** @param {{ type: string, [member: string]: any }} message */
	#handleWorker(message) {
		switch (message.type) {
			case FromWorker.STATE:
				return this.#setState(message.state);
			case FromWorker.STATS:
				return this.#handleStats({ ...message.stats, ...this.#mse?.stats(performance.now(), message.stats.rttMs) });
			case FromWorker.DECISION:
				return this.#emit(EventName.DECISION, message.decision);
			case FromWorker.METADATA:
				return this.#emit(EventName.METADATA, message.metadata);
			case FromWorker.TROUBLE:
				console.warn(`<${NAME}>: ${message.message}`);
				return this.#emit(EventName.TROUBLE, message.message);
			case FromWorker.TRANSPORT:
				if (this.#playing) memory.remember(Date.now(), this.#playing.gateway, message.transport);
				return;
			case FromWorker.AUDIO_FORMAT:
				this.#format = message.format;
				this.#applyAudio();
				return;
			case FromWorker.FRAME:
				return drawFrame(this.#canvas, message.frame);
			case FromWorker.DECODE:
				return this.#setDecode(message.decode);
			case FromWorker.MEDIA:
				return this.#mse?.handleMessage(performance.now(), message.message);
			case FromWorker.GAP:
				return this.#mse?.handleGap();
			case FromWorker.HINT:
				return this.#mse?.setHint(message.ms);
			case FromWorker.RESET:
				return this.#mse?.reset();
		}
	}

	/** @param {Stats} stats */
	#handleStats(stats) {
		this.#stats = stats;
		this.#line.textContent = describe(stats);
		this.#line.title = describeRace(stats);
		this.#emit(EventName.STATS, stats);
	}

	/** @param {string | undefined} decode what plays from now on, one of `Decode` */
	#setDecode(decode) {
		this.#format = undefined;
		this.#closeOutput();
		this.#mse?.close();
		this.#mse = undefined;
		this.#video.hidden = decode !== Decode.MSE;
		this.#canvas.hidden = !this.#video.hidden;
		if (decode !== Decode.MSE) return;
		this.#applyAudio();
		this.#mse = new MsePlayer(this.#video, {
			handleTrouble: (message) => this.#emit(EventName.TROUBLE, message),
			handleLocked: () => this.#handleLocked(),
			handleDecision: (kind, detail) => this.#tell({ type: ToWorker.DECISION, kind, detail }),
		});
	}

	/** The browser refuses to play sound until somebody asks for it. */
	#handleLocked() {
		this.#locked = true;
		this.#renderMute();
	}

	/** Makes the output what is wanted: one of the stream's format, or none. */
	async #applyAudio() {
		this.#video.muted = this.muted;
		this.#closeOutput();
		const format = this.#format;
		if (!format || this.muted) return;
		const output = new AudioOutput(format);
		this.#output = output;
		let port;
		try {
			port = await output.start(format);
		} catch (error) {
			this.#emit(EventName.TROUBLE, `no sound: ${error}`);
		}
		// Somebody wanted something else meanwhile.
		if (output !== this.#output) return;
		if (port) {
			this.#tell({ type: ToWorker.OUTPUT, output: { port, format } }, [port]);
			output.watchLatency((ms) => this.#tell({ type: ToWorker.LATENCY, ms }));
		} else {
			this.#closeOutput();
			this.#handleLocked();
		}
	}

	#closeOutput() {
		if (!this.#output) return;
		this.#tell({ type: ToWorker.OUTPUT });
		this.#output.close();
		this.#output = undefined;
	}

	/**
	 * @param {object} message
	 * @param {Transferable[]} [transfer]
	 */
	#tell(message, transfer = []) {
		this.#playing?.worker.postMessage(message, transfer);
	}

	/** @param {string} state */
	#setState(state) {
		if (state === this.#state) return;
		this.#state = state;
		this.#render();
		this.#emit(EventName.STATE, state);
	}

	#render() {
		this.#say(/** @type {Record<string, string>} */ (MESSAGES)[this.#state] ?? "");
		this.#start.textContent = this.paused ? "Start" : "Pause";
		this.#renderMute();
	}

	#renderMute() {
		const text = this.muted ? "Unmute" : "Mute";
		if (this.#mute.textContent === text) return;
		this.#mute.textContent = text;
		if (this.isConnected) this.#emit(EventName.MUTE, this.muted);
	}

	/** @param {string} text */
	#say(text) {
		this.#message.textContent = text;
	}

	/**
	 * @param {string} name
	 * @param {unknown} detail
	 */
	#emit(name, detail) {
		this.dispatchEvent(new CustomEvent(name, { detail }));
	}
}

/**
 * @param {Stats} stats
 * @returns {string}
 */
function describe({ transport, decode, delayMs, rttMs, framesDropped, bufferMs }) {
	/** @param {number | undefined} ms */
	const time = (ms) => (ms === undefined ? "–" : `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`);
	return `${transport ?? "–"} · ${decode} · delay ${time(delayMs)} · RTT ${time(rttMs)} · dropped ${framesDropped} · buffer ${time(bufferMs)}`;
}

/**
 * @param {Stats} stats
 * @returns {string}
 */
function describeRace({ race }) {
	const entrants = race.map(({ transport, startedMs, endedMs, end }) => `${transport}: from ${Math.round(startedMs)} to ${endedMs === undefined ? "…" : Math.round(endedMs)} ms, ${end ?? "runs"}`);
	return entrants.join("\n");
}

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} className
 */
function element(tag, className) {
	const made = document.createElement(tag);
	made.className = className;
	return made;
}

if (!customElements.get(NAME)) customElements.define(NAME, HeadwaterPlayer);
