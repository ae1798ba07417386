// @ts-check
/**
 * `<headwater-player src="/watch/app/name" transport="auto" autoplay muted>`: a live stream on a page.
 *
 * The element is thin: attributes in, events and `stats` out. All that plays is in the worker.
 * @module
 */

import { sheet } from "./element.css.js";
import { drawFrame } from "./media/draw.js";
import { AudioOutput } from "./media/output.js";
import { Attribute, EventName, FromWorker, State, ToWorker, Transport } from "./names.js";
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
	static observedAttributes = [Attribute.SRC, Attribute.MUTED, Attribute.TRANSPORT];

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

	#canvas = document.createElement("canvas");
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
		root.append(this.#canvas, this.#message, bar);
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
		this.#format = undefined;
		this.#closeOutput();
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
		const transports = { wanted: this.#transport(), remembered: memory.recall(Date.now(), gateway) };
		this.#playing = { worker, gateway, abort };
		const { signal } = abort;
		worker.addEventListener("message", ({ data }) => this.#handleWorker(data), { signal });
		worker.addEventListener("error", (event) => this.#emit(EventName.TROUBLE, event.message || "the player's worker failed"), { signal });
		const offscreen = canvas.transferControlToOffscreen?.();
		worker.postMessage({ type: ToWorker.OPEN, source, transports, canvas: offscreen }, offscreen ? [offscreen] : []);
		this.#setState(State.CONNECTING);
	}

	/** The transport that is asked for. */
	#transport() {
		const wanted = this.getAttribute(Attribute.TRANSPORT) ?? Transport.AUTO;
		const known = Object.values(Transport).find((transport) => transport === wanted);
		if (!known) console.warn(`<${NAME}>: transport is to be one of ${Object.values(Transport).join(", ")}, not "${wanted}"`);
		return known ?? Transport.AUTO;
	}

	/** @param {{ type: string, [member: string]: any }} message */
	#handleWorker(message) {
		switch (message.type) {
			case FromWorker.STATE:
				return this.#setState(message.state);
			case FromWorker.STATS:
				this.#stats = message.stats;
				this.#line.textContent = describe(message.stats);
				this.#line.title = describeRace(message.stats);
				return this.#emit(EventName.STATS, message.stats);
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
		}
	}

	/** Makes the output what is wanted: one of the stream's format, or none. */
	async #applyAudio() {
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
			this.#locked = true;
			this.#renderMute();
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
function describe({ transport, delayMs, rttMs, framesDropped, bufferMs }) {
	/** @param {number | undefined} ms */
	const time = (ms) => (ms === undefined ? "–" : `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`);
	return `${transport ?? "–"} · delay ${time(delayMs)} · RTT ${time(rttMs)} · dropped ${framesDropped} · buffer ${time(bufferMs)}`;
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
