// @ts-check
/** One conversation over whichever transport serves it first: runs a race, and then is its winner. */

import { Transport } from "../names.js";
import { findEndpoint } from "./endpoint.js";
import { Race } from "./race.js";
import { WebSocketLink } from "./websocket.js";
import { WebTransportLink, hasWebTransport } from "./webtransport.js";

/** @typedef {import("../conversation.js").ConversationEvent} ConversationEvent */

/** @typedef {import("./link.js").Listener & { handleChosen: (transport: string) => void }} Listener told of the choice before anything else */

/**
 * One that runs, and what it has said so far.
 *
 * @typedef {{ link: WebSocketLink | WebTransportLink, abort: AbortController, events: ConversationEvent[] }} Runner
 */

/** What is expected of transports, the best one first. */
const RANKING = Object.freeze([Transport.WEBTRANSPORT, Transport.RTWEBSOCKET]);

/**
 * The transports that are worth a try, the best one first.
 *
 * @param {string} wanted one of `Transport`, or `auto`
 * @param {string} [remembered] the one that won last
 * @returns {string[]}
 */
export function candidates(wanted, remembered) {
	if (wanted !== Transport.AUTO) return [wanted];
	const known = RANKING.filter((transport) => transport !== Transport.WEBTRANSPORT || hasWebTransport());
	return known.toSorted((a, b) => Number(b === remembered) - Number(a === remembered));
}

/** A connection, from its attempts to its end. */
export class Connection {
	#source;
	#listener;
	#race;
	/** @type {Map<string, Runner>} */
	#runners = new Map();
	/** @type {ReturnType<typeof setTimeout> | undefined} */
	#timer;

	/**
	 * @param {import("../source.js").Source} source
	 * @param {string[]} transports the best one first
	 * @param {Listener} listener
	 * @param {AbortSignal} signal ends it
	 */
	constructor(source, transports, listener, signal) {
		this.#source = source;
		this.#listener = listener;
		this.#race = new Race(performance.now(), transports);
		signal.addEventListener("abort", () => this.#end(), { once: true });
		this.#run();
	}

	/**
	 * Gives the conversation a command.
	 *
	 * @param {(conversation: import("../conversation.js").Conversation) => void} command
	 */
	command(command) {
		for (const { link } of this.#runners.values()) link.command(command);
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
			const link =
				transport === Transport.WEBTRANSPORT
					? new WebTransportLink(this.#source, listener, abort.signal, (signal) => findEndpoint(this.#source, signal))
					: new WebSocketLink(this.#source, listener, abort.signal);
			this.#runners.set(transport, { link, abort, events: [] });
		} catch (error) {
			// A page with TLS may open no connection without.
			queueMicrotask(() => this.#handleClosed(transport, String(error)));
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
		runner?.events.push(event);
		if (!runner || !isDelivery(event) || !this.#race.handleDelivered(now, transport)) return;
		clearTimeout(this.#timer);
		for (const [other, { abort }] of this.#runners) {
			if (other === transport) continue;
			this.#runners.delete(other);
			abort.abort();
		}
		this.#listener.handleChosen(transport);
		for (const event of runner.events.splice(0)) this.#listener.handleEvent(now, event);
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
 * Whether an event shows that the transport serves: media does, and so does the word that there is none.
 *
 * @param {ConversationEvent} event
 */
function isDelivery(event) {
	if (event.type === "unit") return event.unit.kind === "key" || event.unit.kind === "delta";
	return event.type === "waiting";
}
