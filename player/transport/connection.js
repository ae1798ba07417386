// @ts-check
/** One conversation over whichever transport serves it first: runs a race, and then is its winner. */

import { Decode, Format, Transport } from "../names.js";
import { findEndpoint } from "./endpoint.js";
import { PipeLink } from "./pipe.js";
import { Race } from "./race.js";
import { hasWebSocketStream, openSocket, openSocketStream } from "./socket.js";
import { SUBPROTOCOL, TlvLink } from "./tlv.js";
import { WebTransportLink, hasWebTransport } from "./webtransport.js";

/** @typedef {import("../conversation.js").ConversationEvent} ConversationEvent */

/**
 * `isDelivery` says whether an event shows that the transport serves; `handleChosen` tells of the choice before anything else.
 *
 * @typedef {import("./link.js").Listener & {
 *   isDelivery: (now: number, event: ConversationEvent) => boolean,
 *   handleChosen: (transport: string, format: string) => void,
 * }} Listener
 */

/** @typedef {WebTransportLink | PipeLink | TlvLink} AnyLink */

/**
 * One that runs, and what it has said so far.
 *
 * @typedef {{ link: AnyLink, abort: AbortController, events: { now: number, event: ConversationEvent }[] }} Runner
 */

/** Those without flows, which carry fragmented MP4 alone. @type {readonly string[]} */
const FLOWLESS = Object.freeze([Transport.WEBSOCKETSTREAM, Transport.WEBSOCKET]);
const CHROMIUM = /Chrom(e|ium)\//;

/**
 * The transports that are worth a try, the best one first.
 *
 * @param {string} wanted one of `Transport`, or `auto`
 * @param {string} [remembered] the one that won last
 * @param {string} [decode] what is to decode; Media Source Extensions for `auto`, too, where there are any
 * @returns {string[]}
 */
export function candidates(wanted, remembered, decode = Decode.AUTO) {
	if (wanted !== Transport.AUTO) return [wanted];
	const hasStream = hasWebSocketStream();
	/** @type {string[]} */
	const known = [hasStream ? Transport.RTWEBSOCKET_STREAM : Transport.RTWEBSOCKET];
	if (hasWebTransport() && !isWebKit()) known.unshift(Transport.WEBTRANSPORT);
	if (decode !== Decode.WEBCODECS) known.push(...FLOWLESS.filter((transport) => hasStream || transport !== Transport.WEBSOCKETSTREAM));
	return known.toSorted((a, b) => Number(b === remembered) - Number(a === remembered));
}

/**
 * The transports that are worth a try in place of one that has stalled, the best one first: that one, opened anew, comes after
 * the others; and those that are decoded in another way come last.
 *
 * @param {string[]} known the best one first
 * @param {string | undefined} stalled
 * @param {string} decode what decodes
 * @returns {string[]}
 */
export function successors(known, stalled, decode) {
	const rank = (/** @type {string} */ transport) => Number(transport === stalled) + 2 * Number(decode === Decode.WEBCODECS && FLOWLESS.includes(transport));
	return known.toSorted((a, b) => rank(a) - rank(b));
}

/** Whether sessions of this browser's WebTransport die of what we do to them. */
function isWebKit() {
	const { userAgent = "" } = globalThis.navigator ?? {};
	return userAgent.includes("AppleWebKit/") && !CHROMIUM.test(userAgent);
}

/** A connection, from its attempts to its end. */
export class Connection {
	#source;
	#format;
	#listener;
	#race;
	/** @type {Map<string, Runner>} */
	#runners = new Map();
	/** @type {ReturnType<typeof setTimeout> | undefined} */
	#timer;

	/**
	 * @param {import("../source.js").Source} source
	 * @param {string[]} transports the best one first
	 * @param {string} format what those that can carry any are asked for, one of `Format`
	 * @param {Listener} listener
	 * @param {AbortSignal} signal ends it
	 */
	constructor(source, transports, format, listener, signal) {
		this.#source = source;
		this.#format = format;
		this.#listener = listener;
		this.#race = new Race(performance.now(), transports);
		signal.addEventListener("abort", () => this.#end(), { once: true });
		this.#run();
	}

	/**
	 * Stops all media, or lets it come again.
	 *
	 * @param {boolean} paused
	 */
	pause(paused) {
		for (const { link } of this.#runners.values()) link.pause(paused);
	}

	/**
	 * Asks for video or for none.
	 *
	 * @param {boolean} wanted
	 * @returns {boolean} whether it can be asked
	 */
	receiveVideo(wanted) {
		return this.#winner?.link.receiveVideo(wanted) ?? false;
	}

	/** Asks the gateway for a sign of life. */
	probe() {
		this.#winner?.link.probe();
	}

	/**
	 * For how long the gateway has owed a sign of life, in milliseconds.
	 *
	 * @param {number} now
	 */
	unanswered(now) {
		return this.#winner?.link.unanswered(now) ?? 0;
	}

	/** Smoothed round-trip time in milliseconds; nothing before it has been measured. */
	get rtt() {
		return this.#winner?.link.rtt;
	}

	/** The winner; nothing before there is one. */
	get transport() {
		return this.#race.winner;
	}

	/** What became of each transport. */
	get entrants() {
		return this.#race.entrants;
	}

	/** Begins with those whose time has come. */
	#run() {
		const now = performance.now();
		for (let transport = this.#race.pollStart(now); transport; transport = this.#race.pollStart(now)) this.#start(transport);
		clearTimeout(this.#timer);
		if (this.#race.deadline !== Infinity) this.#timer = setTimeout(() => this.#run(), Math.max(this.#race.deadline - now, 0));
	}

	/** @param {string} transport */
	#start(transport) {
		const abort = new AbortController();
		const listener = {
			handleEvent: (/** @type {number} */ now, /** @type {ConversationEvent} */ event) => this.#handleEvent(now, transport, event),
			handleClosed: (/** @type {string} */ reason) => this.#handleClosed(transport, reason),
		};
		try {
			const link = this.#link(transport, listener, abort.signal);
			this.#runners.set(transport, { link, abort, events: [] });
		} catch (error) {
			// A page with TLS may open no connection without.
			queueMicrotask(() => this.#handleClosed(transport, String(error)));
		}
	}

	/**
	 * @param {string} transport
	 * @param {import("./link.js").Listener} listener
	 * @param {AbortSignal} signal
	 * @returns {AnyLink}
	 */
	#link(transport, listener, signal) {
		const [source, format] = [this.#source, this.#format];
		switch (transport) {
			case Transport.WEBTRANSPORT:
				return new WebTransportLink(source, format, listener, signal, (signal) => findEndpoint(source, format, signal));
			case Transport.RTWEBSOCKET_STREAM:
				return new PipeLink(source, format, listener, signal, openSocketStream);
			case Transport.WEBSOCKETSTREAM:
				return new TlvLink(source, listener, signal, (url, listener) => openSocketStream(url, listener, SUBPROTOCOL), { acknowledges: false });
			case Transport.WEBSOCKET:
				return new TlvLink(source, listener, signal, openSocket, { acknowledges: true });
			default:
				return new PipeLink(source, format, listener, signal, openSocket);
		}
	}

	/**
	 * @param {number} now
	 * @param {string} transport
	 * @param {ConversationEvent} event
	 */
	#handleEvent(now, transport, event) {
		const runner = this.#runners.get(transport);
		if (transport === this.#race.winner) return this.#listener.handleEvent(now, event);
		runner?.events.push({ now, event });
		if (!runner || !this.#listener.isDelivery(now, event) || !this.#race.handleDelivered(now, transport)) return;
		clearTimeout(this.#timer);
		for (const [other, { abort }] of this.#runners) {
			if (other === transport) continue;
			this.#runners.delete(other);
			abort.abort();
		}
		this.#listener.handleChosen(transport, FLOWLESS.includes(transport) ? Format.FMP4 : this.#format);
		for (const { now: then, event } of runner.events.splice(0)) this.#listener.handleEvent(then, event);
	}

	/**
	 * @param {string} transport
	 * @param {string} reason
	 */
	#handleClosed(transport, reason) {
		this.#runners.delete(transport);
		if (transport === this.#race.winner) return this.#listener.handleClosed(reason);
		this.#race.handleFailed(performance.now(), transport, reason);
		if (this.#race.isLost) this.#listener.handleClosed(this.#race.entrants.map(({ transport, end }) => `${transport}: ${end}`).join("; "));
		else this.#run();
	}

	#end() {
		clearTimeout(this.#timer);
		for (const { abort } of this.#runners.values()) abort.abort();
		this.#runners.clear();
	}

	get #winner() {
		return this.#race.winner === undefined ? undefined : this.#runners.get(this.#race.winner);
	}
}

/**
 * Whether an event is of what is seen or heard, and no preparation for it.
 *
 * @param {ConversationEvent} event
 */
export function isMedia(event) {
	if (event.type === "tlv") return event.message.type === "segment";
	return event.type === "unit" && (event.unit.kind === "key" || event.unit.kind === "delta");
}
