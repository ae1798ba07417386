// @ts-check
/**
 * `<headwater-player src="/watch/app/name" autoplay controls>`: a live stream on a page.
 *
 * ```
 * attributes, properties, methods ─▶ HeadwaterPlayer ─▶ Playback ─▶ worker (session, decoders)
 *                          events ◀─       │        ◀─ MediaState ◀─ state, statistics
 *                                          └─▶ Stage, Controls (all that is seen; they use the element as a page does)
 * ```
 *
 * Its properties, methods and events are those of HTML's media elements where there are such, so that what is made for those
 * (media-chrome's controls) works with it.
 * @module
 */

import { Fatal, diagnose } from "./element/problem.js";
import { MediaState, NetworkState, timeRange } from "./element/media-state.js";
import { Playback } from "./element/playback.js";
import { Stage } from "./element/stage.js";
import { Words, chooseLanguage } from "./element/words.js";
import { Attribute, Decode, EventName, State, Transport } from "./names.js";
import { parseSource } from "./source.js";

/** @typedef {import("./viewer.js").Stats} Stats */

const NAME = "headwater-player";
/** Longest delay that may be asked for, in milliseconds: beyond, a gateway keeps nothing. */
const MAX_TARGET_MS = 30_000;
/** How far a player may be behind its target and count as live, in seconds. */
const LIVE_EDGE_S = 2;

/** The player. */
export class HeadwaterPlayer extends HTMLElement {
	static observedAttributes = [...Object.values(Attribute), "lang"];

	#media = new MediaState();
	#stage;
	/** @type {Playback | undefined} */
	#playback;
	#muted = false;
	/** The browser refused to play sound until somebody asks for it. */
	#locked = false;
	#volume = 1;
	/** @type {string | undefined} One of `Fatal`. */
	#fatal;
	/** @type {import("./element/problem.js").Problem | undefined} */
	#problem;
	/** What the worker said of it. */
	#reason = "";
	#hasPlayed = false;
	/** Since when it has been connecting. @type {number | undefined} */
	#waitingSince;
	/** Is over when the element leaves its page. */
	#life = new AbortController();

	constructor() {
		super();
		const root = this.attachShadow({ mode: "open" });
		this.#stage = new Stage(this, root, (isFloating) => this.#playback?.setFloating(isFloating));
	}

	/** @returns {string} the stream's address as it was given */
	get src() {
		return this.getAttribute(Attribute.SRC) ?? "";
	}

	set src(src) {
		this.setAttribute(Attribute.SRC, src);
	}

	/** The stream's address as a whole; empty where there is none. */
	get currentSrc() {
		return URL.canParse(this.src, document.baseURI) && this.src !== "" ? new URL(this.src, document.baseURI).href : "";
	}

	/** @returns {string} one of `Transport`: what is asked for; `stats.transport` is what it came to */
	get transport() {
		return this.#choice(Attribute.TRANSPORT, Transport);
	}

	set transport(transport) {
		this.setAttribute(Attribute.TRANSPORT, transport);
	}

	/** @returns {string} one of `Decode`: what is asked for; `stats.decode` is what it came to */
	get decode() {
		return this.#choice(Attribute.DECODE, Decode);
	}

	set decode(decode) {
		this.setAttribute(Attribute.DECODE, decode);
	}

	/** How far behind live it means to play, in milliseconds. @returns {number} */
	get targetDelay() {
		return this.#wantedDelay ?? this.stats?.targetMs ?? 0;
	}

	set targetDelay(ms) {
		this.setAttribute(Attribute.TARGET_DELAY, String(ms));
	}

	/** How far behind live it plays, in milliseconds; `NaN` while that is not known. */
	get delay() {
		return this.stats?.delayMs ?? NaN;
	}

	get autoplay() {
		return this.hasAttribute(Attribute.AUTOPLAY);
	}

	set autoplay(on) {
		this.toggleAttribute(Attribute.AUTOPLAY, on);
	}

	get controls() {
		return this.hasAttribute(Attribute.CONTROLS);
	}

	set controls(on) {
		this.toggleAttribute(Attribute.CONTROLS, on);
	}

	/** @returns {string} */
	get poster() {
		return this.getAttribute(Attribute.POSTER) ?? "";
	}

	set poster(url) {
		this.setAttribute(Attribute.POSTER, url);
	}

	get audioOnly() {
		return this.hasAttribute(Attribute.AUDIO_ONLY);
	}

	set audioOnly(on) {
		this.toggleAttribute(Attribute.AUDIO_ONLY, on);
	}

	/** Whether figures are shown over the picture: the attribute `stats`. */
	get showsStats() {
		return this.hasAttribute(Attribute.STATS);
	}

	set showsStats(on) {
		this.toggleAttribute(Attribute.STATS, on);
	}

	/** @returns {string} */
	get token() {
		return this.getAttribute(Attribute.TOKEN) ?? "";
	}

	set token(token) {
		this.setAttribute(Attribute.TOKEN, token);
	}

	/** The attribute `muted`. */
	get defaultMuted() {
		return this.hasAttribute(Attribute.MUTED);
	}

	set defaultMuted(muted) {
		this.toggleAttribute(Attribute.MUTED, muted);
	}

	/** Whether it cannot be heard, because somebody wants so or because the browser does. Set to false, it may ask the browser again. */
	get muted() {
		return this.#muted || this.#locked;
	}

	set muted(muted) {
		this.#setSound(Boolean(muted), this.#volume);
	}

	/** From 0 to 1. Others throw, as in media elements. */
	get volume() {
		return this.#volume;
	}

	set volume(volume) {
		if (!(volume >= 0 && volume <= 1)) throw new DOMException(`a volume is from 0 to 1, not ${volume}`, "IndexSizeError");
		this.#volume = volume;
		this.#playback?.setSound(this.muted, volume);
		this.#emit(EventName.VOLUME_CHANGE);
		this.#stage.update();
	}

	/** Statistics of four times a second; nothing before the first. @returns {Stats | undefined} */
	get stats() {
		return this.#media.stats;
	}

	/** One of `State`. */
	get state() {
		return this.#media.state;
	}

	/** Whether it was not started, or was stopped. */
	get paused() {
		return this.#media.paused;
	}

	/** Whether the publisher has gone; it goes on by itself if that returns. */
	get ended() {
		return this.#media.ended;
	}

	/** As in media elements: 4 while it plays. */
	get readyState() {
		return this.#media.readyState;
	}

	/** As in media elements. */
	get networkState() {
		return this.#fatal === Fatal.SOURCE ? NetworkState.NO_SOURCE : this.#media.networkState;
	}

	/** How much was played, in seconds. */
	get currentTime() {
		return this.#media.currentTime(performance.now());
	}

	/** A live stream can't be wound; what is set goes live. */
	set currentTime(_) {
		this.goLive();
	}

	/** Nobody knows when a live stream ends: infinite; `NaN` before it has begun. */
	get duration() {
		return this.readyState > 0 ? Infinity : NaN;
	}

	/** What is here and not yet played. */
	get buffered() {
		const now = this.currentTime;
		return timeRange(now, now + (this.stats?.bufferMs ?? 0) / 1000);
	}

	/** Nothing: what was played is gone. */
	get seekable() {
		return timeRange(0, 0);
	}

	get seeking() {
		return false;
	}

	/** It is the player's own business. */
	get playbackRate() {
		return 1;
	}

	get videoWidth() {
		return this.stats?.width ?? 0;
	}

	get videoHeight() {
		return this.stats?.height ?? 0;
	}

	/** What media-chrome asks of live media: from which `currentTime` on it counts as live. */
	get liveEdgeStart() {
		const behindMs = (this.stats?.delayMs ?? 0) - this.targetDelay;
		return this.paused || behindMs > LIVE_EDGE_S * 1000 ? this.currentTime + 1 : 0;
	}

	get streamType() {
		return "live";
	}

	get targetLiveWindow() {
		return 0;
	}

	/** What keeps it from playing, like `MediaError` but for the `reason`; nothing while it isn't an error. */
	get error() {
		const { title, code } = this.#problem ?? {};
		return code === undefined || !title ? null : { code, reason: title, message: this.#reason || this.#words.say(title) };
	}

	/** What it is called where people read. */
	get title() {
		const source = this.#source();
		return this.getAttribute("title") ?? (source ? `${source.app}/${source.name.replace(/\?.*/, "")}` : "");
	}

	set title(title) {
		this.setAttribute("title", title);
	}

	get isInPictureInPicture() {
		return this.#stage.isInPictureInPicture;
	}

	/**
	 * Starts, or goes on with what is live now.
	 *
	 * @returns {Promise<void>} resolves when it plays, as in media elements; a stream that is awaited is no failure
	 */
	play() {
		this.#emitAll(this.#media.handlePlay());
		if (this.#playback) this.#playback.play();
		else this.#open();
		this.#update();
		if (this.#fatal) return Promise.reject(new DOMException(this.error?.message, "NotSupportedError"));
		if (this.state === State.PLAYING) return Promise.resolve();
		return new Promise((resolve, reject) => {
			const over = new AbortController();
			this.addEventListener(EventName.PLAYING, () => (over.abort(), resolve()), { signal: over.signal });
			const fail = () => (over.abort(), reject(new DOMException("it was stopped before it played", "AbortError")));
			for (const name of [EventName.PAUSE, EventName.EMPTIED]) this.addEventListener(name, fail, { signal: over.signal });
		});
	}

	/** Stops where it is. */
	pause() {
		this.#emitAll(this.#media.handlePause(performance.now()));
		this.#playback?.pause();
		this.#update();
	}

	/** Gives up what it has and plays what is live now. */
	goLive() {
		if (this.paused) this.play().catch(() => {});
		else this.#playback?.goLive();
	}

	/** Ends everything and, with `autoplay`, starts anew. */
	load() {
		const wasPlaying = !this.paused;
		this.close();
		if (wasPlaying || this.autoplay) this.play().catch(() => {});
	}

	/** Ends everything; `play` starts anew. May be called twice. */
	close() {
		this.#playback?.close();
		this.#playback = undefined;
		this.#fatal = undefined;
		this.#hasPlayed = false;
		this.#waitingSince = undefined;
		this.#update();
	}

	/**
	 * Whether this browser has what plays a type. As careful as media elements are.
	 *
	 * @param {string} type such as `video/mp4; codecs="avc1.64001f"`
	 */
	canPlayType(type) {
		return this.#stage.video.canPlayType(type);
	}

	/** Plays in a window of its own, where there is such a thing. To be called when somebody clicks. */
	requestPictureInPicture() {
		return this.#stage.openPictureInPicture();
	}

	exitPictureInPicture() {
		return this.#stage.closePictureInPicture();
	}

	connectedCallback() {
		for (const name of ["muted", "volume", "src", "transport", "decode", "targetDelay"]) this.#upgrade(name);
		this.#life = new AbortController();
		const { signal } = this.#life;
		const update = () => this.#update();
		for (const name of ["online", "offline"]) globalThis.addEventListener(name, update, { signal });
		document.addEventListener("fullscreenchange", update, { signal });
		this.#stage.setWords(this.#words);
		if (this.defaultMuted) this.#muted = true;
		if (this.autoplay) this.play().catch(() => {});
		else this.#update();
	}

	disconnectedCallback() {
		// An element that is moved leaves its place and is back at once.
		queueMicrotask(() => {
			if (this.isConnected) return;
			this.#life.abort();
			this.#stage.closePictureInPicture();
			this.close();
		});
	}

	/**
	 * @param {string} name
	 * @param {string | null} before
	 * @param {string | null} after
	 */
	attributeChangedCallback(name, before, after) {
		if (before === after) return;
		switch (name) {
			case Attribute.MUTED:
				// The attribute says how it begins.
				if (!this.#playback) this.#setSound(after !== null, this.#volume);
				return;
			case Attribute.AUTOPLAY:
				if (this.isConnected && after !== null && this.paused && !this.#playback) this.play().catch(() => {});
				return;
			case "lang":
				return this.isConnected ? this.#stage.setWords(this.#words) : undefined;
			case Attribute.CONTROLS:
			case Attribute.POSTER:
			case Attribute.STATS:
				return this.#stage.update();
			default:
				this.#warn(name);
				if (this.#playback || this.#fatal) this.load();
				else if (this.isConnected && this.autoplay && name === Attribute.SRC) this.play().catch(() => {});
		}
	}

	#open() {
		const source = this.#source();
		this.#fatal = source ? undefined : Fatal.SOURCE;
		if (!source) {
			console.warn(`<${NAME}>: src is to be /watch/app/name or a URL, not "${this.src}"`);
			return;
		}
		const wishes = { transport: this.transport, decode: this.decode, targetDelayMs: this.#wantedDelay, audioOnly: this.audioOnly };
		this.#playback = new Playback(this.#stage.renew(), source, wishes, {
			handleState: (state, reason) => this.#handleState(state, reason),
			handleStats: (stats) => {
				this.#emitAll(this.#media.handleStats(stats));
				this.#update();
			},
			handleDecision: (decision) => this.#emit(EventName.DECISION, decision),
			handleMetadata: (metadata) => this.#emit(EventName.METADATA, metadata),
			handleTrouble: (message, fatal) => this.#handleTrouble(message, fatal),
			handleLocked: () => {
				this.#locked = true;
				this.#emit(EventName.VOLUME_CHANGE);
				this.#playback?.setSound(this.muted, this.#volume);
				this.#update();
			},
		});
		this.#playback.setSound(this.muted, this.#volume);
		this.#handleState(State.CONNECTING);
	}

	/**
	 * @param {string} state
	 * @param {string} [reason]
	 */
	#handleState(state, reason = "") {
		this.#hasPlayed ||= state === State.PLAYING;
		const isConnecting = state === State.CONNECTING || state === State.RECONNECTING;
		this.#waitingSince = isConnecting ? (this.#waitingSince ?? performance.now()) : undefined;
		this.#reason = reason;
		if (state === State.PLAYING || state === State.WAITING) this.#fatal = undefined;
		this.#emitAll(this.#media.handleState(performance.now(), state, reason));
		this.#update();
	}

	/**
	 * @param {string} message
	 * @param {string} [fatal]
	 */
	#handleTrouble(message, fatal) {
		console.warn(`<${NAME}>: ${message}`);
		if (fatal) {
			this.#fatal = fatal;
			this.#reason = message;
		}
		this.#emit(EventName.TROUBLE, message);
		this.#update();
	}

	/**
	 * @param {boolean} muted
	 * @param {number} volume
	 */
	#setSound(muted, volume) {
		const before = this.muted;
		this.#muted = muted;
		this.#locked = false;
		this.#playback?.setSound(muted, volume);
		if (before !== muted) this.#emit(EventName.VOLUME_CHANGE);
		this.#stage.update();
	}

	/** Finds out what is to be told, and shows how things are. */
	#update() {
		const before = this.#problem;
		this.#problem = diagnose({
			state: this.state,
			hasEnded: this.ended,
			isQuiet: this.#reason !== "",
			hasPlayed: this.#hasPlayed,
			waitingMs: this.#waitingSince === undefined ? 0 : performance.now() - this.#waitingSince,
			isOnline: navigator.onLine,
			isSecure: globalThis.isSecureContext,
			fatal: this.#fatal,
		});
		this.#stage.update();
		if (this.#problem?.code !== undefined && this.#problem.title !== before?.title) this.#emit(EventName.ERROR, this.error);
	}

	/** What is to be told instead of a picture. */
	get problem() {
		return this.#problem && { ...this.#problem, reason: this.#problem.code === undefined ? "" : this.#reason };
	}

	/** Whether the browser wants somebody to click before there is sound. */
	get isSoundLocked() {
		return this.#locked && !this.#muted;
	}

	get #words() {
		const lang = this.closest("[lang]")?.getAttribute("lang");
		return new Words(chooseLanguage(lang ? [lang] : navigator.languages));
	}

	/** What the attribute asks for, in milliseconds. */
	get #wantedDelay() {
		const text = this.getAttribute(Attribute.TARGET_DELAY);
		const ms = Number(text?.trim() || NaN);
		return ms >= 0 && ms <= MAX_TARGET_MS ? ms : undefined;
	}

	#source() {
		if (this.src === "") return undefined;
		const source = parseSource(this.src, document.baseURI);
		if (!source || this.token === "") return source;
		return { ...source, token: this.token };
	}

	/**
	 * What an attribute asks for; a value that makes no sense counts as none.
	 *
	 * @param {string} name
	 * @param {{ AUTO: string, [name: string]: string }} choices
	 */
	#choice(name, choices) {
		const wanted = this.getAttribute(name) ?? choices.AUTO;
		return Object.values(choices).includes(wanted) ? wanted : choices.AUTO;
	}

	/** Complains of a value that makes no sense. @param {string} name */
	#warn(name) {
		const value = this.getAttribute(name);
		if (value === null) return;
		const choices = name === Attribute.TRANSPORT ? Transport : name === Attribute.DECODE ? Decode : undefined;
		if (choices && !Object.values(choices).some((choice) => choice === value)) {
			console.warn(`<${NAME}>: ${name} is to be one of ${Object.values(choices).join(", ")}, not "${value}"`);
		} else if (name === Attribute.TARGET_DELAY && this.#wantedDelay === undefined) {
			console.warn(`<${NAME}>: ${name} is to be from 0 to ${MAX_TARGET_MS} milliseconds, not "${value}"`);
		}
	}

	/** A property that was set before the element was defined hides the real one. @param {string} name */
	#upgrade(name) {
		if (!Object.hasOwn(this, name)) return;
		const self = /** @type {Record<string, any>} */ (/** @type {unknown} */ (this));
		const value = self[name];
		delete self[name];
		self[name] = value;
	}

	/** @param {string[]} names */
	#emitAll(names) {
		for (const name of names) this.#emit(name, this.#detail(name));
	}

	/** @param {string} name */
	#detail(name) {
		switch (name) {
			case EventName.STATE:
				return this.state;
			case EventName.STATS:
				return this.stats;
			case EventName.TRANSPORT_CHANGE:
				return this.stats?.transport;
			case EventName.DELAY_CHANGE:
				return this.delay;
			default:
				return undefined;
		}
	}

	/**
	 * @param {string} name
	 * @param {unknown} [detail]
	 */
	#emit(name, detail) {
		this.dispatchEvent(new CustomEvent(name, { detail }));
	}
}

if (!customElements.get(NAME)) customElements.define(NAME, HeadwaterPlayer);
