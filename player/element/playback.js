// @ts-check
/** What plays for the element: the worker, and what only pages can have, a `<video>` and sound. One is made for each source. */

import { drawFrame } from "../media/draw.js";
import { MsePlayer, hasMediaSource } from "../media/mse.js";
import { AudioOutput } from "../media/output.js";
import { Decode, FromWorker, State, ToWorker } from "../names.js";
import { watchSurroundings } from "../session/surroundings.js";
import { Memory } from "../transport/memory.js";

/** @typedef {import("../viewer.js").Stats} Stats */
/** @typedef {import("../media/audio.js").AudioFormat} AudioFormat */

/**
 * Whom it tells what.
 *
 * @typedef {object} Handlers
 * @property {(state: string, reason?: string) => void} handleState
 * @property {(stats: Stats) => void} handleStats
 * @property {(metadata: object) => void} handleMetadata
 * @property {(decision: object) => void} handleDecision
 * @property {(message: string, fatal?: string) => void} handleTrouble a message for people; `fatal`, one of `Fatal`: it ends playing
 * @property {() => void} handleLocked the browser refuses to play sound until somebody asks for it
 */

/** Which transport won last at which gateway. */
const memory = new Memory(() => localStorage);

/** Plays one source. */
export class Playback {
	#canvas;
	#video;
	#handlers;
	#gateway;
	#worker;
	#life = new AbortController();
	/** @type {AudioFormat | undefined} */
	#format;
	/** @type {AudioOutput | undefined} */
	#output;
	/** @type {MsePlayer | undefined} */
	#mse;
	#isFloating = false;
	#openedAt = performance.now();
	#muted = false;
	#volume = 1;

	/**
	 * @param {{ canvas: HTMLCanvasElement, video: HTMLVideoElement }} screens the canvas is a new one: it can be given away once only
	 * @param {import("../source.js").Source} source
	 * @param {Omit<import("../viewer.js").Wishes, "remembered" | "hasMediaSource">} wishes
	 * @param {Handlers} handlers
	 */
	constructor({ canvas, video }, source, wishes, handlers) {
		this.#canvas = canvas;
		this.#video = video;
		this.#handlers = handlers;
		this.#gateway = new URL(source.url).origin;
		const { signal } = this.#life;
		this.#worker = startWorker(new URL("../worker.js", import.meta.url));
		this.#worker.addEventListener("message", ({ data }) => this.#handleWorker(data), { signal });
		this.#worker.addEventListener("error", (event) => this.#fail(event.message || "the player's worker failed"), { signal });
		const remembered = memory.recall(Date.now(), this.#gateway);
		const offscreen = canvas.transferControlToOffscreen?.();
		const message = { type: ToWorker.OPEN, source, wishes: { ...wishes, remembered, hasMediaSource }, canvas: offscreen };
		this.#worker.postMessage(message, offscreen ? [offscreen] : []);
		watchSurroundings((message) => this.#tellSurroundings(message), signal);
	}

	/** Goes on with what is live now. */
	play() {
		this.#tell({ type: ToWorker.PAUSE, paused: false });
	}

	/** Stops where it is. */
	pause() {
		this.#tell({ type: ToWorker.PAUSE, paused: true });
	}

	/** Gives up what is here and goes on with what is live now. */
	goLive() {
		this.pause();
		this.play();
	}

	/**
	 * @param {boolean} muted
	 * @param {number} volume from 0 to 1
	 */
	setSound(muted, volume) {
		const isNew = muted !== this.#muted;
		this.#muted = muted;
		this.#volume = volume;
		this.#video.volume = volume;
		this.#output?.setVolume(volume);
		if (isNew) this.#applyAudio();
	}

	/**
	 * Whether it is seen whatever becomes of its page: in a window of its own.
	 *
	 * @param {boolean} isFloating
	 */
	setFloating(isFloating) {
		this.#isFloating = isFloating;
		this.#tell({ type: ToWorker.VISIBLE, visible: isFloating || document.visibilityState === "visible" });
	}

	/** Ends it. May be called twice. */
	close() {
		if (this.#life.signal.aborted) return;
		this.#tell({ type: ToWorker.CLOSE });
		this.#life.abort();
		this.#setDecode(undefined);
		this.#handlers.handleState(State.CLOSED);
	}

	/** @param {{ type: string, [member: string]: any }} message */
	#handleWorker(message) {
		switch (message.type) {
			case FromWorker.STATE:
				return this.#handlers.handleState(message.state, message.reason);
			case FromWorker.STATS:
				return this.#handlers.handleStats({ ...message.stats, ...this.#mse?.stats(performance.now(), message.stats.rttMs) });
			case FromWorker.DECISION:
				return this.#handlers.handleDecision(message.decision);
			case FromWorker.METADATA:
				return this.#handlers.handleMetadata(message.metadata);
			case FromWorker.TROUBLE:
				return this.#handlers.handleTrouble(message.message, message.fatal);
			case FromWorker.TRANSPORT:
				return memory.remember(Date.now(), this.#gateway, message.transport);
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
				return this.#mse?.handleGap(message.isOld ? performance.now() : undefined);
			case FromWorker.HINT:
				return this.#mse?.setHint(message.ms);
			case FromWorker.PUBLISHED:
				return this.#mse?.handlePublished();
			case FromWorker.RESET:
				return this.#mse?.reset(performance.now());
			case FromWorker.VIDEO:
				return this.#mse?.setVideo(performance.now(), message.wanted);
		}
	}

	/** @param {import("../session/surroundings.js").Message} message */
	#tellSurroundings(message) {
		// Some browsers take the sound away meanwhile.
		if (message.visible || message.isAway === false) this.#output?.wake();
		this.#tell(this.#isFloating && message.visible === false ? { ...message, visible: true } : message);
	}

	/** @param {string} message */
	#fail(message) {
		this.#handlers.handleTrouble(message);
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
			...this.#handlers,
			handleDecision: (kind, detail) => this.#tell({ type: ToWorker.DECISION, kind, detail }),
		}, this.#openedAt);
	}

	/** Makes the output what is wanted: one of the stream's format, or none. */
	async #applyAudio() {
		this.#video.muted = this.#muted;
		this.#closeOutput();
		const format = this.#format;
		if (!format || this.#muted) return;
		const output = new AudioOutput(format);
		this.#output = output;
		output.setVolume(this.#volume);
		let port;
		try {
			port = await output.start(format);
		} catch (error) {
			this.#fail(`no sound: ${error}`);
		}
		// Somebody wanted something else meanwhile.
		if (output !== this.#output) return;
		if (port) {
			this.#tell({ type: ToWorker.OUTPUT, output: { port, format } }, [port]);
			output.watchLatency((ms) => this.#tell({ type: ToWorker.LATENCY, ms }));
		} else {
			this.#closeOutput();
			this.#handlers.handleLocked();
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
		this.#worker.postMessage(message, transfer);
	}
}

/**
 * A worker of this module's origin, wherever the page is from: only a script of the page's own origin may be one, so that
 * elsewhere that is a line which imports ours.
 *
 * @param {URL} url
 */
function startWorker(url) {
	const options = /** @type {const} */ ({ type: "module", name: "headwater-player" });
	if (url.origin === location.origin) return new Worker(url, options);
	const line = URL.createObjectURL(new Blob([`import ${JSON.stringify(url.href)};`], { type: "text/javascript" }));
	const worker = new Worker(line, options);
	// Not before it has been read.
	worker.addEventListener("message", () => URL.revokeObjectURL(line), { once: true });
	return worker;
}
