// @ts-check
/** RTWebSocket: a session on one pipe, which is a WebSocket. */

import { PipeSession } from "../session/pipe/session.js";
import { Link } from "./link.js";

/** @extends {Link<PipeSession>} */
export class WebSocketLink extends Link {
	#socket;

	/**
	 * @param {import("../source.js").Source} source
	 * @param {import("./link.js").Listener} listener
	 * @param {AbortSignal} signal ends it
	 */
	constructor(source, listener, signal) {
		super(new PipeSession(performance.now()), source, listener, signal);
		this.#socket = new WebSocket(source.url);
		this.#socket.binaryType = "arraybuffer";
		const options = { signal };
		this.#socket.addEventListener("open", () => this.start(), options);
		this.#socket.addEventListener("message", ({ data }) => this.#handleMessage(data), options);
		this.#socket.addEventListener("close", () => this.close("the connection was closed"), options);
	}

	/** @protected */
	transmit() {
		for (let bytes = this.session.pollTransmit(); bytes; bytes = this.session.pollTransmit()) this.#socket.send(bytes);
	}

	/** @protected */
	shut() {
		this.#socket.close();
	}

	/** @param {unknown} data */
	#handleMessage(data) {
		if (data instanceof ArrayBuffer) this.drive((now) => this.session.handleMessage(now, new Uint8Array(data)));
	}
}
