// @ts-check
/** RTWebSocket: a session on one pipe, which is a WebSocket. */

import { PipeSession } from "../session/pipe/session.js";
import { Link } from "./link.js";

/** @extends {Link<PipeSession>} */
export class PipeLink extends Link {
	#socket;

	/**
	 * @param {import("../source.js").Source} source
	 * @param {string} format one of `Format`
	 * @param {import("./link.js").Listener} listener
	 * @param {AbortSignal} signal ends it
	 * @param {(url: string, listener: import("./socket.js").SocketListener) => import("./socket.js").Socket} open
	 */
	constructor(source, format, listener, signal, open) {
		super(new PipeSession(performance.now()), source, format, listener, signal);
		this.#socket = open(source.url, {
			handleOpened: () => this.start(),
			handleMessage: (bytes) => this.drive((now) => this.session.handleMessage(now, bytes)),
			handleClosed: (reason) => this.close(reason),
		});
	}

	/** @protected */
	transmit() {
		for (let bytes = this.session.pollTransmit(); bytes; bytes = this.session.pollTransmit()) this.#socket.send(bytes);
	}

	/** @protected */
	shut() {
		this.#socket.close();
	}
}
