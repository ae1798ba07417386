// @ts-check
/**
 * WebTransport: a session on many streams.
 *
 * | what | specification |
 * |---|---|
 * | sessions, streams, error codes | W3C WebTransport; draft-ietf-webtrans-http3 |
 *
 * Invariant: datagrams are never read. Safari's sessions die of it.
 * @module
 */

import { StreamsSession } from "../session/streams/session.js";
import { LaneCode } from "../wire/lane.js";
import { Link } from "./link.js";

/** How many of the peer's lanes are read at the same time: the rest wait in the browser, and the gateway gets no more credit. */
const MAX_LANES = 64;

/**
 * Where a gateway is to be reached by WebTransport. Hashes are of its certificate, where it's one that no authority has signed.
 *
 * @typedef {{ url: string, certificateHashes?: Uint8Array<ArrayBuffer>[] }} Endpoint
 */

/** Whether this browser has it. Pages that are not secure don't. */
export function hasWebTransport() {
	return "WebTransport" in globalThis;
}

/** @extends {Link<StreamsSession>} */
export class WebTransportLink extends Link {
	/** @type {WebTransport | undefined} */
	#transport;
	/** @type {Map<number, ReadableStreamDefaultReader<Uint8Array>>} The peer's lanes. */
	#receiving = new Map();
	#nextReceiving = 0;
	/** @type {(() => void) | undefined} Wakes whoever waits for a lane to end. */
	#laneEnded;
	/** @type {Promise<WritableStreamDefaultWriter<Uint8Array>>[]} Ours. */
	#sending = [];

	/**
	 * @param {import("../source.js").Source} source
	 * @param {string} format one of `Format`
	 * @param {import("./link.js").Listener} listener
	 * @param {AbortSignal} signal ends it
	 * @param {(signal: AbortSignal) => Promise<Endpoint>} findEndpoint
	 */
	constructor(source, format, listener, signal, findEndpoint) {
		super(new StreamsSession(), source, format, listener, signal);
		this.#run(findEndpoint(signal)).catch((error) => this.close(explain(error)));
	}

	/** @protected */
	transmit() {
		for (let item = this.session.pollTransmit(); item; item = this.session.pollTransmit()) this.#perform(item);
	}

	/** @protected */
	shut() {
		try {
			this.#transport?.close({ closeCode: LaneCode.CLOSED, reason: "" });
		} catch {
			// It failed by itself.
		}
	}

	/** @param {Promise<Endpoint>} endpoint */
	async #run(endpoint) {
		if (!hasWebTransport()) throw new Error(`no WebTransport in this browser${globalThis.isSecureContext ? "" : ", on a page without TLS"}`);
		const { url, certificateHashes } = await endpoint;
		if (this.isClosed) return;
		const serverCertificateHashes = certificateHashes?.map((value) => ({ algorithm: "sha-256", value }));
		const transport = new WebTransport(url, serverCertificateHashes && { serverCertificateHashes });
		this.#transport = transport;
		transport.closed.then(
			({ closeCode, reason }) => this.close(`the gateway closed the session: ${reason || `code ${closeCode}`}`),
			(error) => this.close(explain(error)),
		);
		await transport.ready;
		this.start();
		const lanes = transport.incomingUnidirectionalStreams.getReader();
		for (;;) {
			const { value, done } = await lanes.read();
			if (done) return;
			this.#read(value);
			while (this.#receiving.size >= MAX_LANES) await new Promise((ended) => (this.#laneEnded = () => ended(undefined)));
		}
	}

	/**
	 * Reads a lane of the peer's to its end.
	 *
	 * @param {ReadableStream<Uint8Array>} stream
	 */
	async #read(stream) {
		const id = this.#nextReceiving++;
		const reader = stream.getReader();
		this.#receiving.set(id, reader);
		this.drive(() => this.session.handleOpened(id));
		try {
			for (;;) {
				const { value, done } = await reader.read();
				if (done) break;
				this.drive((now) => this.session.handleReceived(now, id, value));
			}
			this.drive((now) => this.session.handleFinished(now, id));
		} catch (error) {
			// Where the whole session has ended, that is told elsewhere, with the reason.
			if (/** @type {WebTransportError} */ (error).source === "stream") this.drive((now) => this.session.handleReset(now, id));
		}
		this.#receiving.delete(id);
		this.#laneEnded?.();
	}

	/** @param {import("../session/streams/session.js").LaneTransmit} item */
	#perform(item) {
		if (item.type === "stop") {
			// Its reading ends by that.
			this.#receiving.get(item.lane)?.cancel(streamError(item.code)).catch(() => {});
			return;
		}
		this.#sending[item.lane] ??= this.#open(this.#sending[item.lane - 1]);
		this.#sending[item.lane].then((writer) => {
			if (item.type === "write") return writer.write(item.bytes);
			return item.type === "finish" ? writer.close() : writer.abort(streamError(LaneCode.ABANDONED));
		}).catch(() => {
			// The peer wants no more of it, and says so on its control lane; or the session is over.
		});
	}

	/**
	 * Opens a lane behind the one before it.
	 *
	 * @param {Promise<unknown> | undefined} before
	 * @returns {Promise<WritableStreamDefaultWriter<Uint8Array>>}
	 */
	async #open(before) {
		await before;
		const stream = await this.#transport?.createUnidirectionalStream();
		if (!stream) throw new Error("there is no connection");
		return stream.getWriter();
	}
}

/**
 * What a stream is reset or stopped with. The constructor took one object before it took a message and options, and each kind of
 * browser knows one of the two.
 *
 * @param {number} code
 */
function streamError(code) {
	const Constructor = /** @type {any} */ (WebTransportError);
	const options = { message: "", streamErrorCode: code };
	const error = new Constructor(options);
	return error.streamErrorCode === code ? error : new Constructor("", options);
}

/** @param {unknown} error */
function explain(error) {
	const text = error instanceof Error ? error.message : String(error);
	const isLost = typeof WebTransportError !== "undefined" && error instanceof WebTransportError;
	return isLost ? `WebTransport failed: ${text || "no answer from the gateway's UDP port"}` : text;
}
