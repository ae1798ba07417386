// @ts-check
/**
 * One stream from its address to what plays it; runs in a worker, because a hidden page's timers are slowed down and
 * acknowledgements must not be.
 * @module
 */

import { Fatal } from "./element/problem.js";
import { MseRemote } from "./media/mse-remote.js";
import { WebCodecsPlayer, hasWebCodecs } from "./media/webcodecs.js";
import { Decision, Decode, Format, FromWorker, State, Transport } from "./names.js";
import { Decisions } from "./session/decisions.js";
import { Presence } from "./session/presence.js";
import { Connection, candidates, isMedia, successors } from "./transport/connection.js";
import { Health } from "./transport/health.js";
import { Recovery } from "./transport/recovery.js";

const STATS_INTERVAL_MS = 250;
/** How often is looked after the connection, in milliseconds. */
const TICK_MS = 100;
/** A successor that brings nothing new has proved itself when it has brought something for so long, in milliseconds. */
const PROVEN_MS = 250;
/** A stalled connection that could not be replaced in this time is no longer called playing, in milliseconds. */
const FROZEN_MS = 2000;

/**
 * A connection, from its attempts on. While another one plays, it is that one's successor.
 *
 * @typedef {object} Attempt
 * @property {Connection} link
 * @property {AbortController} abort
 * @property {Health} health
 * @property {number | undefined} since when it brought the first media
 * @property {number | undefined} newest timestamp of the newest unit that it has brought
 * @property {boolean} continues whether it takes over from another one, of the same publisher
 */

/**
 * What the statistics line shows. Times are in milliseconds.
 *
 * `delayMs` is how far what is shown lies behind the gateway: behind the moment at which the fastest path of the last
 * seconds would have brought it here, plus half of the round-trip time. It leaves out what happened before the
 * gateway had the frame, and the screen.
 *
 * @typedef {object} Stats
 * @property {string} state
 * @property {number} framesShown
 * @property {number} framesDropped frames that came but were too late to be shown
 * @property {number} audioSeconds seconds of sound that were played
 * @property {number} underruns how often there was no sound where some was due
 * @property {boolean} audioLeads whether the audio clock leads, and not the wall clock
 * @property {number | undefined} delayMs
 * @property {number} targetMs what the delay without the round trip should be
 * @property {number} bufferMs what is here and not yet shown
 * @property {number | undefined} rttMs
 * @property {number | undefined} skewMs how far pictures are behind the sound, smoothed; behind the wall clock where that leads
 * @property {number} gaps messages that the gateway gave up
 * @property {number} width
 * @property {number} height
 * @property {string | undefined} transport
 * @property {string} decode what decodes
 * @property {number} pace how fast it goes; 1 is as it is
 * @property {number | undefined} firstPictureMs how long it took from opening to the first picture
 * @property {import("./transport/race.js").Entrant[]} race how the transport was chosen
 * @property {import("./session/decisions.js").Entry[]} decisions the last ones, oldest first
 */

/**
 * What the page wants and has: a transport and which won last, what is to decode, Media Source Extensions, the delay if not the
 * gateway's, and whether no pictures.
 *
 * @typedef {{ transport: string, remembered?: string, decode: string, hasMediaSource: boolean, targetDelayMs?: number, audioOnly?: boolean }} Wishes
 */

/** A viewer of one stream. */
export class Viewer {
	#source;
	#canvas;
	#post;
	#life = new AbortController();
	#openedAt = performance.now();
	#wishes;
	#presence = new Presence(performance.now(), Date.now());
	#recovery = new Recovery(performance.now(), Math.random);
	/** @type {Attempt | undefined} The one that plays. */
	#active;
	/** @type {Attempt | undefined} The one that is to. */
	#next;
	/** When the active one was found to be stalled. */
	#stalledAt = Infinity;
	/** @type {number | undefined} Timestamp of the newest unit, modulo 2^32. */
	#newest;
	/** @type {string} */
	#state = State.CONNECTING;
	#paused = false;
	#visible = true;

	/** @type {string} What is asked for over flows. */
	#format;
	/** @type {WebCodecsPlayer | MseRemote} */
	#player;
	/** @type {string} */
	#decode = Decode.WEBCODECS;
	#gaps = 0;
	#decisions = new Decisions(performance.now());

	/**
	 * @param {import("./source.js").Source} source
	 * @param {Wishes} wishes
	 * @param {OffscreenCanvas | undefined} canvas without one, frames are posted
	 * @param {(message: object, transfer?: Transferable[]) => void} post to the page
	 */
	constructor(source, wishes, canvas, post) {
		this.#source = source;
		this.#wishes = wishes;
		this.#canvas = canvas;
		this.#post = post;
		this.#format = firstFormat(wishes);
		this.#player = this.#createPlayer();
		this.#repeat(TICK_MS, () => this.#tick(performance.now()));
		this.#repeat(STATS_INTERVAL_MS, () => this.#postStats());
		this.#tick(performance.now());
	}

	/**
	 * Gives it something to be heard by, or takes it away.
	 *
	 * @param {{ port: MessagePort, format: import("./media/audio.js").AudioFormat } | undefined} output
	 */
	setOutput(output) {
		this.#player.setOutput(output);
	}

	/**
	 * How long a sample takes from the audio thread to the ear.
	 *
	 * @param {number} ms
	 */
	setLatency(ms) {
		this.#player.setLatency(ms);
	}

	/**
	 * Stops where it is, or goes on with what is live then.
	 *
	 * @param {boolean} paused
	 */
	pause(paused) {
		if (paused === this.#paused) return;
		this.#paused = paused;
		this.#active?.link.pause(paused);
		this.#active?.health.handleWanted(performance.now());
		this.#player.reset();
		this.#setState(paused ? State.PAUSED : State.WAITING);
	}

	/**
	 * Whether anybody can see it. While nobody can, sound goes on alone.
	 *
	 * @param {boolean} visible
	 */
	setVisible(visible) {
		if (visible === this.#visible) return;
		this.#visible = visible;
		if (this.#wishes.audioOnly) return;
		if (this.#active) this.#chooseTracks(this.#active);
		this.decide(Decision.BACKGROUND, visible ? "pictures again" : "sound alone");
	}

	/**
	 * Leaves before its page stands still, or returns.
	 *
	 * @param {boolean} isAway
	 */
	setAway(isAway) {
		if (!this.#presence.setAway(isAway)) return;
		if (isAway) this.#leave("the page stands still");
		else this.#return();
	}

	/**
	 * The network may not be what it was.
	 *
	 * @param {boolean} isNew whether it is another one
	 */
	handleNetwork(isNew) {
		const now = performance.now();
		if (!this.#presence.handleNetwork(now, isNew)) return;
		// One that has stalled is being asked already.
		if (this.#stalledAt === Infinity) this.#active?.link.probe();
		if (!isNew) return;
		this.decide(Decision.NETWORK, "another one");
		// What was begun over the old one would wait for it.
		this.#drop();
		this.#recovery.handleNetwork(now);
	}

	/**
	 * Notes a decision.
	 *
	 * @param {string} kind one of `Decision`
	 * @param {string} detail
	 */
	decide(kind, detail) {
		const decision = this.#decisions.add(performance.now(), kind, detail);
		this.#post({ type: FromWorker.DECISION, decision });
	}

	/** Ends it for good. May be called twice. */
	close() {
		this.#life.abort();
		this.#active?.abort.abort();
		this.#next?.abort.abort();
		this.#player.close();
		this.#setState(State.CLOSED);
	}

	/** @param {number} now */
	#tick(now) {
		this.#handleAwake();
		if (this.#presence.isAway) return;
		if (this.#active) this.#examine(now, this.#active);
		if (this.#next && this.#recovery.isOverdue(now)) {
			this.#drop("no answer");
			this.#recovery.handleFailed(now);
		}
		if (this.#recovery.pollAttempt(now)) this.#attempt();
	}

	/** Leaves what it slept through. */
	#handleAwake() {
		if (!this.#presence.handleAwake(performance.now(), Date.now())) return;
		this.#leave("has slept");
		this.#return();
	}

	/** @param {string} why */
	#leave(why) {
		this.#disconnect();
		this.#player.restart();
		this.decide(Decision.BACKGROUND, why);
		this.#setState(State.RECONNECTING, why);
	}

	#return() {
		this.#recovery = new Recovery(performance.now(), Math.random);
		this.#tick(performance.now());
	}

	/** No connection plays, and none is to. */
	#disconnect() {
		this.#cut();
		this.#drop();
	}

	/** No connection plays. */
	#cut() {
		this.#active?.abort.abort();
		this.#active = undefined;
		this.#stalledAt = Infinity;
		this.#newest = undefined;
	}

	/**
	 * Looks for a successor when a connection has stalled, and for none when it goes on.
	 *
	 * @param {number} now
	 * @param {Attempt} active
	 */
	#examine(now, { link, health }) {
		const wantsPictures = this.#wantsPictures && !this.#paused;
		const complaint = health.complaint(now, { unansweredMs: link.unanswered(now), rttMs: link.rtt, wantsPictures });
		if (complaint === undefined) {
			if (this.#stalledAt !== Infinity) {
				this.#stalledAt = Infinity;
				this.decide(Decision.MIGRATE, `${link.transport} goes on`);
				this.#drop();
				this.#recovery.handleRecovered();
			}
			if (wantsPictures && health.isQuiet(now) && this.#state === State.PLAYING) this.#setState(State.WAITING, "nothing comes from the publisher");
			return;
		}
		if (this.#stalledAt === Infinity) {
			this.#stalledAt = now;
			this.decide(Decision.MIGRATE, `${link.transport} has stalled: ${complaint}`);
			this.#recovery.handleStalled(now);
		} else if (now - this.#stalledAt > FROZEN_MS && link.unanswered(now) > 0) {
			this.#setState(State.RECONNECTING, complaint);
		}
	}

	#attempt() {
		const abort = new AbortController();
		const { transport, remembered, decode, hasMediaSource } = this.#wishes;
		const known = candidates(transport, remembered, hasMediaSource ? decode : Decode.WEBCODECS);
		const link = new Connection(
			this.#source,
			this.#active ? successors(known, this.#active.link.transport, this.#decode) : known,
			this.#format,
			{
				isDelivery: (now, event) => this.#isDelivery(attempt, now, event),
				handleChosen: (transport, format) => this.#handleChosen(attempt, transport, format),
				handleEvent: (now, event) => this.#handleEvent(attempt, now, event),
				handleClosed: (reason) => this.#handleClosed(attempt, reason),
			},
			abort.signal,
		);
		/** @type {Attempt} */
		const attempt = { link, abort, health: new Health(performance.now()), since: undefined, newest: undefined, continues: false };
		this.#next = attempt;
	}

	/**
	 * Whether an attempt delivers. That of a successor has to be more than what is shown already: every connection begins with
	 * the newest group, even when nobody sends any more.
	 *
	 * @param {Attempt} attempt
	 * @param {number} now
	 * @param {import("./conversation.js").ConversationEvent} event
	 */
	#isDelivery(attempt, now, event) {
		if (event.type === "waiting" || event.type === "refused") return true;
		if (!isMedia(event)) return false;
		if (event.type === "unit") attempt.newest = event.unit.timestamp;
		attempt.since ??= now;
		return !this.#active || (event.type === "unit" && this.#isNew(event.unit.timestamp)) || now - attempt.since > PROVEN_MS;
	}

	/**
	 * @param {Attempt} attempt
	 * @param {string} transport
	 * @param {string} format
	 */
	#handleChosen(attempt, transport, format) {
		const before = this.#active;
		this.#next = undefined;
		this.#active = attempt;
		this.#stalledAt = Infinity;
		this.#newest = undefined;
		this.#recovery.handleDelivered();
		attempt.health = new Health(performance.now());
		before?.abort.abort();
		this.decide(before ? Decision.MIGRATE : Decision.RACE, before ? `${before.link.transport} → ${transport}` : `${transport} won`);
		this.#remember(transport);
		const decode = format === Format.RAW ? Decode.WEBCODECS : Decode.MSE;
		if (decode !== this.#decode) {
			this.#setDecode(decode);
		} else if (before) {
			attempt.continues = true;
			this.#player.migrate(performance.now(), attempt.newest);
		}
		if (this.#wantsPictures) this.#player.setVideo(performance.now(), true);
		// It is being driven just now.
		else queueMicrotask(() => this.#chooseTracks(attempt));
	}

	/**
	 * Asks for pictures or for none; where that can't be asked for, they go on.
	 *
	 * @param {Attempt} attempt
	 */
	#chooseTracks({ link, health }) {
		const now = performance.now();
		const isAsked = link.receiveVideo(this.#wantsPictures);
		health.handleWanted(now);
		this.#player.setVideo(now, this.#wantsPictures || !isAsked);
	}

	/**
	 * @param {Attempt} attempt
	 * @param {string} reason
	 */
	#handleClosed(attempt, reason) {
		const now = performance.now();
		if (attempt === this.#next) {
			this.#drop(reason);
			this.#recovery.handleFailed(now);
			// Nobody is there at all: what has stalled is dead.
			if (this.#active && this.#active.link.unanswered(now) > 0) this.#lose(reason);
			else if (!this.#active) this.#setState(State.RECONNECTING, reason);
		} else if (attempt === this.#active) {
			this.#lose(reason);
		}
	}

	/**
	 * Gives up the attempt under way.
	 *
	 * @param {string} [reason]
	 */
	#drop(reason) {
		if (reason !== undefined) this.decide(Decision.RACE, `nobody won: ${reason}`);
		this.#next?.abort.abort();
		this.#next = undefined;
	}

	/**
	 * The connection that played is no more.
	 *
	 * @param {string} reason
	 */
	#lose(reason) {
		this.#cut();
		this.#remember(undefined);
		this.#player.restart();
		this.decide(Decision.RECONNECT, reason);
		this.#recovery.handleLost(performance.now());
		this.#setState(State.RECONNECTING, reason);
	}

	/** @param {string | undefined} transport */
	#remember(transport) {
		if (this.#wishes.transport !== Transport.AUTO || transport === this.#wishes.remembered) return;
		this.#wishes = { ...this.#wishes, remembered: transport };
		this.#post({ type: FromWorker.TRANSPORT, transport });
	}

	/**
	 * @param {Attempt} attempt
	 * @param {number} now
	 * @param {import("./conversation.js").ConversationEvent} event
	 */
	#handleEvent(attempt, now, event) {
		this.#handleAwake();
		if (attempt !== this.#active) return;
		const { targetDelayMs } = this.#wishes;
		if (event.type === "started" && targetDelayMs !== undefined) event = { ...event, targetDelayMs };
		// The publisher is the one that it was.
		const isKnown = event.type === "published" && attempt.continues;
		if (event.type === "published") attempt.continues = false;
		if (!isKnown && (!this.#paused || !isMedia(event))) this.#player.handleEvent(now, event);
		switch (event.type) {
			case "started":
				if (!attempt.continues) this.#setState(State.WAITING);
				if (this.#paused) queueMicrotask(() => attempt.link.pause(this.#paused));
				return;
			case "unpublished":
			case "waiting":
				return this.#setState(State.WAITING);
			case "refused":
				return this.#post({ type: FromWorker.TROUBLE, message: event.reason, fatal: Fatal.REFUSED });
			case "metadata":
				return this.#post({ type: FromWorker.METADATA, metadata: { ...event.metadata } });
			case "gap":
				this.#gaps += event.messages;
				if (event.video) attempt.health.handleGap(now);
				return;
			default:
				if (isMedia(event)) this.#handleMedia(attempt, now, event);
		}
	}

	/**
	 * @param {Attempt} attempt
	 * @param {number} now
	 * @param {import("./conversation.js").ConversationEvent} event
	 */
	#handleMedia(attempt, now, event) {
		if (event.type === "unit" && this.#isNew(event.unit.timestamp)) this.#newest = event.unit.timestamp;
		const isVideo = event.type === "unit" ? event.unit.track === "video" : event.type === "tlv" && "track" in event.message && event.message.track === "video";
		attempt.health.handleMedia(now, isVideo);
		this.#setState(State.PLAYING);
	}

	/** @param {number} timestamp modulo 2^32 */
	#isNew(timestamp) {
		return this.#newest === undefined || ((timestamp - this.#newest) | 0) > 0;
	}

	/** @param {string} decode one of `Decode` */
	#setDecode(decode) {
		if (decode === this.#decode) return;
		this.#player.close();
		this.#decode = decode;
		this.#player = this.#createPlayer();
	}

	#createPlayer() {
		this.#post({ type: FromWorker.DECODE, decode: this.#decode });
		if (this.#decode === Decode.MSE) return new MseRemote(this.#post);
		return new WebCodecsPlayer(this.#canvas, this.#post, {
			handleUndecodable: () => this.#handleUndecodable(),
			handleDecision: (kind, detail) => this.decide(kind, detail),
		});
	}

	/** What WebCodecs can't decode, Media Source Extensions may. */
	#handleUndecodable() {
		const { decode, hasMediaSource } = this.#wishes;
		if (decode !== Decode.AUTO || !hasMediaSource || this.#format !== Format.RAW) {
			const message = "nothing here decodes the stream's codec";
			return this.#post({ type: FromWorker.TROUBLE, message, fatal: Fatal.CODEC });
		}
		this.#format = Format.FMP4;
		this.#disconnect();
		this.#return();
	}

	get #wantsPictures() {
		return this.#visible && !this.#wishes.audioOnly;
	}

	/**
	 * @param {string} state
	 * @param {string} [reason]
	 */
	#setState(state, reason) {
		if (this.#paused && state !== State.CLOSED) state = State.PAUSED;
		if (state === this.#state) return;
		this.#state = state;
		this.#post({ type: FromWorker.STATE, state, reason });
	}

	/**
	 * @param {number} interval in milliseconds
	 * @param {() => void} callback
	 */
	#repeat(interval, callback) {
		const timer = setInterval(callback, interval);
		this.#life.signal.addEventListener("abort", () => clearInterval(timer), { once: true });
	}

	#postStats() {
		const link = (this.#active ?? this.#next)?.link;
		const { firstShownAt, ...played } = this.#player.stats(performance.now(), link?.rtt);
		/** @type {Stats} */
		const stats = {
			state: this.#state,
			rttMs: link?.rtt,
			gaps: this.#gaps,
			transport: link?.transport,
			decode: this.#decode,
			race: link?.entrants ?? [],
			decisions: this.#decisions.entries,
			firstPictureMs: firstShownAt === undefined ? undefined : firstShownAt - this.#openedAt,
			...played,
		};
		this.#post({ type: FromWorker.STATS, stats });
	}
}

/** @param {Wishes} wishes */
function firstFormat({ decode, hasMediaSource }) {
	if (decode === Decode.AUTO) return hasWebCodecs() || !hasMediaSource ? Format.RAW : Format.FMP4;
	return decode === Decode.MSE ? Format.FMP4 : Format.RAW;
}
