// @ts-check
/**
 * The end of the audio path, on the audio thread: plays a ring that the player's worker fills through a port.
 * @module
 */

import { Ring } from "./ring.js";

/** Blocks of 128 samples between reports: 23 ms at 44.1 kHz. */
const REPORT_BLOCKS = 8;

/** @type {any} The AudioWorkletGlobalScope, which the DOM's types do not know. */
const scope = globalThis;

class RingProcessor extends scope.AudioWorkletProcessor {
	#ring = new Ring(scope.sampleRate);
	/** @type {MessagePort | undefined} */
	#port;
	#blocks = 0;
	/** Number of the last order to play: reports say which ones were taken. */
	#turn = 0;
	#open = true;

	constructor() {
		super();
		/** @param {MessageEvent} event */
		this.port.onmessage = ({ data }) => {
			if (data.close) this.#open = false;
			if (data.port) this.#connect(data.port);
		};
	}

	/**
	 * @param {Float32Array[][]} _inputs
	 * @param {Float32Array[][]} outputs
	 */
	process(_inputs, [outputs]) {
		this.#ring.pull(outputs);
		if (++this.#blocks % REPORT_BLOCKS === 0) this.#port?.postMessage({ ...this.#ring.report(), turn: this.#turn });
		return this.#open;
	}

	/** @param {MessagePort} port */
	#connect(port) {
		this.#port = port;
		port.onmessage = ({ data }) => {
			this.#turn = data.turn ?? this.#turn;
			if (data.planes) this.#ring.push(data.time, data.planes);
			else if (data.play !== undefined) this.#ring.play(data.play);
			else if (data.pace !== undefined) this.#ring.setPace(data.pace);
			else if (data.clear) this.#ring.clear();
		};
	}
}

scope.registerProcessor("headwater-ring", RingProcessor);
