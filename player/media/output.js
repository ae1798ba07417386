// @ts-check
/**
 * The page's part of the audio path: an AudioContext with a ring in it. A worker can have neither.
 * @module
 */

/** A browser that has not begun to play by then has refused to, in milliseconds. */
const START_MS = 1000;
const LATENCY_INTERVAL_MS = 1000;

/** One audio output, of one format. */
export class AudioOutput {
	#context;
	#gain;
	#life = new AbortController();
	/** @type {AudioWorkletNode | undefined} */
	#node;

	/** @param {import("./audio.js").AudioFormat} format */
	constructor({ sampleRate }) {
		// A context of the stream's own rate leaves resampling to the browser.
		this.#context = new AudioContext({ sampleRate, latencyHint: "interactive" });
		this.#gain = new GainNode(this.#context);
		this.#gain.connect(this.#context.destination);
	}

	/**
	 * Begins to play.
	 *
	 * @param {import("./audio.js").AudioFormat} format
	 * @returns {Promise<MessagePort | undefined>} where the ring is filled through; nothing when the browser refuses to play
	 */
	async start({ channels }) {
		await this.#context.audioWorklet.addModule(new URL("./worklet.js", import.meta.url));
		if (!(await this.#isRunning()) || this.#life.signal.aborted) return undefined;
		this.#node = new AudioWorkletNode(this.#context, "headwater-ring", {
			numberOfInputs: 0,
			outputChannelCount: [Math.min(channels, 2)],
		});
		this.#node.connect(this.#gain);
		const { port1, port2 } = new MessageChannel();
		this.#node.port.postMessage({ port: port1 }, [port1]);
		return port2;
	}

	/**
	 * Says how long a sample takes from the ring to the ear, now and then.
	 *
	 * @param {(ms: number) => void} handleLatency
	 */
	watchLatency(handleLatency) {
		const tell = () => handleLatency(((this.#context.outputLatency || 0) + (this.#context.baseLatency || 0)) * 1000);
		tell();
		const interval = setInterval(tell, LATENCY_INTERVAL_MS);
		this.#life.signal.addEventListener("abort", () => clearInterval(interval), { once: true });
	}

	/** @param {number} volume from 0 to 1 */
	setVolume(volume) {
		this.#gain.gain.value = volume;
	}

	/** Goes on where the browser has stopped it by itself. */
	wake() {
		if (this.#node && this.#context.state !== "running") this.#context.resume().catch(() => {});
	}

	/** Ends it. May be called twice. */
	close() {
		if (this.#life.signal.aborted) return;
		this.#life.abort();
		this.#node?.port.postMessage({ close: true });
		this.#context.close().catch(() => {});
	}

	/** @returns {Promise<boolean>} */
	async #isRunning() {
		// A refused context leaves the promise open for good.
		const timeout = AbortSignal.any([this.#life.signal, AbortSignal.timeout(START_MS)]);
		await Promise.race([this.#context.resume().catch(() => {}), new Promise((done) => timeout.addEventListener("abort", done))]);
		return this.#context.state === "running";
	}
}
