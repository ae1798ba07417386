// @ts-check
/**
 * A stream's fragmented MP4 in a `<video>`, by Media Source Extensions; on the page, since few workers have them.
 *
 * ```
 *  init, segment ─▶ MseTrack (video) ─▶ SourceBuffer ┐
 *                   MseTrack (audio) ─▶ SourceBuffer ┴▶ <video> ◀── steered to what is due
 * ```
 *
 * When a track appears or goes, or the browser can't go on, a new MediaSource takes the place of the old.
 * @module
 */

import { Decision } from "../names.js";
import { Fatal } from "../element/problem.js";
import { readDecodeTime, readTimescale } from "./fmp4.js";
import { Leaps, MSE_TARGET_MS, STEERING, steer } from "./mse-upkeep.js";
import { MseTrack } from "./mse-track.js";
import { describePace } from "./pace.js";
import { Schedule } from "./schedule.js";
import { Skew } from "./skew.js";

/** For so long a track that plays alone waits for another before it begins, in milliseconds. */
const TRACKS_MS = 500;
/** A track that has not come for so long while the other came has ended, in milliseconds: it would stop the other. */
const ENDED_MS = 3000;
/** Time between two segments counts as this at most, in milliseconds: while nothing came at all, or the page was held up, nothing is missed. */
const MOST_PASSED_MS = 500;
const STEER_INTERVAL_MS = 100;
/** A browser that has stopped by itself is asked again after this, in milliseconds. */
const PLAY_AGAIN_MS = 1000;
/** A source that has nothing to play where it begins after this is told where there is something, in milliseconds. */
const BEGIN_MS = 1000;
/** A seek that takes longer has ended where a track has nothing and gets nothing any more, in milliseconds. */
const SEEK_MS = 1000;
/**
 * How much of the sound is kept for a source that takes the place of another, in milliseconds. A group's pictures come from its
 * first on, and browsers begin where there are both, so that it is more than most groups have.
 */
const KEEP_MS = 12_000;

/** @typedef {import("../wire/tlv.js").TlvMessage} TlvMessage */

/** What there is to make sources with: phones of Apple's have the managed one alone. @type {typeof MediaSource | undefined} */
const Source = globalThis.MediaSource ?? /** @type {any} */ (globalThis).ManagedMediaSource;

/** Whether this browser has Media Source Extensions. */
export const hasMediaSource = Source !== undefined;

/** Plays on one `<video>`. */
export class MsePlayer {
	#video;
	#handlers;
	#life = new AbortController();
	#schedule = new Schedule(MSE_TARGET_MS);
	#leaps = new Leaps();
	#skew = new Skew();
	/** @type {Map<string, MseTrack>} */
	#tracks = new Map();
	/** @type {Map<string, MseTrack>} Those that came no more, and may come again. */
	#ended = new Map();
	/** @type {Map<string, number>} For how long others came without each track, in milliseconds. */
	#missedMs = new Map();
	/** When the last segment came. */
	#segmentAt = Infinity;
	/** @type {MediaSource | undefined} */
	#source;
	/** Where its time line begins on the player's. */
	#origin = 0;
	#sourceOpenedAt = Infinity;
	/** When the first media came that no source was made for. */
	#since = Infinity;
	#needsKey = true;
	#hasKey = false;
	#wantsVideo = true;
	/** How many tracks there are at least, as far as is known. */
	#expected = 2;
	#started = false;
	/** When it was last asked to play. */
	#askedAt = -Infinity;
	/** When it last sought. */
	#soughtAt = -Infinity;
	#offset = 0;
	#openedAt;
	/** @type {number | undefined} How long it took to the first picture. */
	#firstPictureMs;
	#framesShown = 0;
	/** What asks for the next frame. */
	#frameWatch = 0;

	#underruns = 0;
	#secondsHeard = 0;
	#heardTo = -Infinity;

	/**
	 * @param {HTMLVideoElement} video
	 * @param {{ handleTrouble: (message: string, fatal?: string) => void, handleLocked: () => void, handleDecision: (kind: string, detail: string) => void }}
	 *   handlers `handleLocked`: the browser refuses to play sound until somebody asks for it; `handleDecision`: a kind of `Decision`
	 * @param {number} openedAt when the stream was opened
	 */
	constructor(video, handlers, openedAt) {
		this.#video = video;
		this.#openedAt = openedAt;
		this.#handlers = handlers;
		const options = { signal: this.#life.signal };
		video.addEventListener("waiting", () => this.#handleWaiting(), options);
		video.addEventListener("error", () => this.#handleError(video.error?.message), options);
		const interval = setInterval(() => this.#steer(performance.now()), STEER_INTERVAL_MS);
		this.#life.signal.addEventListener("abort", () => clearInterval(interval), { once: true });
		this.#watchFrames();
		// Browsers may forget who asked when another source takes the place of the old.
		video.addEventListener("loadeddata", () => this.#watchFrames(), options);
	}

	/**
	 * Takes a message of the stream's.
	 *
	 * @param {number} now
	 * @param {TlvMessage} message
	 */
	handleMessage(now, message) {
		if (message.type === "init") this.#handleInit(message);
		else if (message.type === "keyframe") this.#hasKey = true;
		else if (message.type === "segment") this.#handleSegment(now, message);
	}

	/**
	 * Pictures are missing: what depends on them cannot be decoded.
	 *
	 * @param {number} [oldSince] since when those that come next are of the newest group from its beginning, and so teach nothing
	 */
	handleGap(oldSince) {
		if (oldSince !== undefined) this.#schedule.settle(oldSince);
		this.#needsKey = true;
		this.#hasKey = false;
	}

	/**
	 * Whether pictures come: without, sound goes on alone, for which it takes a source without them. A `<video>` stops where one of
	 * its buffers ends.
	 *
	 * @param {number} now
	 * @param {boolean} wanted
	 */
	setVideo(now, wanted) {
		if (wanted === this.#wantsVideo) return;
		this.#wantsVideo = wanted;
		this.handleGap(now);
		if (wanted) return;
		this.#end("video");
		this.#expected = this.#tracks.size;
	}

	/**
	 * Takes the gateway's hint for the target delay.
	 *
	 * @param {number} ms
	 */
	setHint(ms) {
		this.#schedule.setHint(ms);
	}

	/**
	 * Somebody publishes: goes on with the time line, but not with the pace, of who did before. This may be said after the first
	 * pictures have come.
	 */
	handlePublished() {
		this.#schedule.reset();
		// What stands still begins again where it is due.
		if (this.#video.readyState < this.#video.HAVE_FUTURE_DATA) this.#started = false;
	}

	/**
	 * Stands still; goes on with what comes.
	 *
	 * @param {number} now
	 */
	reset(now) {
		this.handleGap(now);
		this.#schedule.reset();
		this.#skew.reset();
		for (const track of this.#tracks.values()) track.clear();
		this.#started = false;
		this.#video.pause();
	}

	/** Ends it. May be called twice. */
	close() {
		this.#life.abort();
		this.#tracks.clear();
		this.#ended.clear();
		this.#source = undefined;
		this.#video.removeAttribute("src");
		this.#video.load();
	}

	/**
	 * What the statistics have of it.
	 *
	 * @param {number} now
	 * @param {number} [rttMs]
	 */
	stats(now, rttMs = 0) {
		const { videoWidth: width, videoHeight: height } = this.#video;
		const { droppedVideoFrames = 0 } = this.#video.getVideoPlaybackQuality?.() ?? {};
		const position = this.#started ? this.#position : undefined;
		const edge = this.#schedule.edge(now);
		return {
			firstPictureMs: this.#firstPictureMs,
			framesShown: this.#framesShown,
			framesDropped: droppedVideoFrames,
			audioSeconds: this.#secondsHeard,
			underruns: this.#underruns,
			audioLeads: this.#isHeard,
			delayMs: position === undefined || edge === undefined ? undefined : edge - position + rttMs / 2,
			targetMs: this.#schedule.target(now),
			bufferMs: position === undefined ? 0 : Math.max((this.#ranges.at(-1)?.end ?? 0) - position, 0),
			skewMs: this.#skew.ms,
			pace: this.#video.playbackRate,
			width,
			height,
		};
	}

	/** @param {TlvMessage & { type: "init" }} message */
	#handleInit({ track: name, codec, segment }) {
		if (this.#tracks.get(name)?.has(segment)) return;
		const timescale = readTimescale(segment);
		const mime = `${name}/mp4; codecs="${codec}"`;
		if (!timescale || !Source?.isTypeSupported(mime)) return this.#handlers.handleTrouble(`this browser does not play ${mime}`, Fatal.CODEC);
		const handlers = {
			handleChange: () => this.#steer(performance.now()),
			handleOverflow: () => this.handleGap(),
			handleError: (/** @type {unknown} */ error) => this.#handleError(error),
		};
		const track = new MseTrack({ mime, timescale, init: segment, keepMs: name === "audio" ? KEEP_MS : 0 }, handlers);
		if (name === "video" && !this.#wantsVideo) return void this.#ended.set(name, track);
		this.#tracks.set(name, track);
		this.#ended.delete(name);
		if (name === "video" || this.#source) this.handleGap();
		if (this.#source) this.#renew();
	}

	/**
	 * @param {number} now
	 * @param {TlvMessage & { type: "segment" }} message
	 */
	#handleSegment(now, { track: name, segment }) {
		if (name === "video") {
			if (!this.#wantsVideo) return;
			this.#needsKey &&= !this.#hasKey;
			this.#hasKey = false;
			if (this.#needsKey) return;
		}
		this.#takeBack(name);
		const track = this.#tracks.get(name);
		const ticks = readDecodeTime(segment);
		if (!track || ticks === undefined) return;
		const time = (ticks / track.timescale) * 1000;
		const offset = this.#leaps.offset(name, time);
		if (offset !== this.#offset) this.#schedule.reset();
		this.#offset = offset;
		this.#schedule.handleReceived(now, name, time + offset);
		track.push({ bytes: segment, time: time + offset, offset });
		this.#since = Math.min(this.#since, now);
		const isWhole = this.#tracks.size >= this.#expected && [...this.#tracks.values()].every(({ start }) => start !== undefined);
		if (!this.#source && (isWhole || now - this.#since > TRACKS_MS)) this.#open();
		this.#checkTracks(now, name);
	}

	/**
	 * A track that comes no more must not stop the other.
	 *
	 * @param {number} now
	 * @param {string} name of the one that has come
	 */
	#checkTracks(now, name) {
		const passed = Math.min(Math.max(now - this.#segmentAt, 0), MOST_PASSED_MS);
		this.#segmentAt = now;
		this.#missedMs.set(name, -passed);
		for (const [other, ms] of this.#missedMs) {
			this.#missedMs.set(other, ms + passed);
			if (ms + passed >= ENDED_MS) this.#end(other);
		}
	}

	/** @param {string} name of a track that others are to go on without */
	#end(name) {
		const track = this.#tracks.get(name);
		if (!track) return;
		track.detach();
		this.#ended.set(name, track);
		this.#tracks.delete(name);
		this.#missedMs.delete(name);
		if (!this.#source) return;
		this.handleGap();
		this.#renew();
	}

	/**
	 * The initialization of one that comes again is not told again.
	 *
	 * @param {string} name
	 */
	#takeBack(name) {
		const track = this.#ended.get(name);
		if (!track) return;
		this.#ended.delete(name);
		this.#tracks.set(name, track);
		if (!this.#source) return;
		// Pictures begin with a key frame when they come again; when sound does, they are in the middle of a group.
		if (name !== "video") this.handleGap();
		this.#renew();
	}

	#open() {
		if (!Source) return;
		const source = new Source();
		this.#source = source;
		// Without this, a managed source does not open.
		this.#video.disableRemotePlayback = true;
		const hold = (/** @type {boolean} */ held) => {
			if (source === this.#source) for (const track of this.#tracks.values()) track.hold(held);
		};
		if ("streaming" in source) hold(!source.streaming);
		source.addEventListener("startstreaming", () => hold(false));
		source.addEventListener("endstreaming", () => hold(true));
		const url = URL.createObjectURL(source);
		source.addEventListener("sourceopen", () => {
			URL.revokeObjectURL(url);
			if (source !== this.#source) return;
			try {
				source.duration = Infinity;
				this.#sourceOpenedAt = performance.now();
				this.#origin = this.#tracks.get("video")?.start ?? this.#tracks.get("audio")?.start ?? 0;
				this.#expected = this.#tracks.size;
				const buffers = [...this.#tracks.values()].map((track) => /** @type {const} */ ([track, source.addSourceBuffer(track.mime)]));
				for (const [track, buffer] of buffers) track.attach(buffer, this.#origin);
			} catch (error) {
				this.#handlers.handleTrouble(`the browser can't play this: ${error}`);
			}
		}, { once: true });
		this.#started = false;
		this.#video.src = url;
	}

	/** Begins with another source. */
	#renew() {
		this.#source = undefined;
		this.#sourceOpenedAt = Infinity;
		this.#since = Infinity;
		for (const track of this.#tracks.values()) track.detach();
		this.#started = false;
	}

	/** @param {unknown} error */
	#handleError(error) {
		if (!this.#source) return;
		this.#handlers.handleTrouble(`playing failed: ${error}`);
		this.handleGap();
		this.#renew();
	}

	#handleWaiting() {
		if (!this.#started || this.#video.seeking) return;
		this.#underruns++;
		this.#schedule.handleUnderrun(performance.now());
	}

	/**
	 * A source begins with what it has, and is steered once it plays: WebKitGTK hangs now and then when it is to seek before it has
	 * begun (WPEWebKit's issue 1367).
	 *
	 * @param {number} now
	 */
	#steer(now) {
		const video = this.#video;
		if (!this.#source || (video.seeking && now - this.#soughtAt < SEEK_MS)) return;
		if (video.readyState < video.HAVE_CURRENT_DATA && now - this.#sourceOpenedAt < BEGIN_MS) return;
		const position = this.#position;
		this.#count(position);
		const { seekTo, pace } = steer({
			started: this.#started,
			position,
			pace: video.playbackRate,
			buffered: this.#ranges,
			due: this.#schedule.due(now),
		});
		if (seekTo !== undefined && this.#started) this.#handlers.handleDecision(Decision.SKIP, `${Math.round(seekTo - position)} ms`);
		if (seekTo !== undefined && (this.#started || Math.abs(seekTo - position) > STEERING.farMs)) {
			video.currentTime = (seekTo - this.#origin) / 1000;
			this.#soughtAt = now;
		}
		if (Math.sign(video.playbackRate - 1) !== Math.sign(pace - 1)) this.#handlers.handleDecision(Decision.SPEED, describePace(pace));
		if (video.playbackRate !== pace) video.playbackRate = pace;
		if (this.#started ? video.paused && now - this.#askedAt > PLAY_AGAIN_MS : seekTo !== undefined) this.#play(now);
		for (const track of this.#tracks.values()) track.trim(position);
	}

	/** @param {number} now */
	async #play(now) {
		this.#started = true;
		this.#askedAt = now;
		const video = this.#video;
		try {
			await video.play();
		} catch (error) {
			if (!(error instanceof Error) || error.name !== "NotAllowedError" || video.muted) return;
			video.muted = true;
			this.#handlers.handleLocked();
			await video.play().catch(() => {});
		}
	}

	/** @param {number} position */
	#count(position) {
		const heard = position - this.#heardTo;
		if (this.#isHeard && heard > 0 && heard < 1000) this.#secondsHeard += heard / 1000;
		this.#heardTo = position;
	}

	#watchFrames(before = 0) {
		const video = this.#video;
		video.cancelVideoFrameCallback?.(this.#frameWatch);
		this.#frameWatch = video.requestVideoFrameCallback?.((now, { mediaTime, expectedDisplayTime, presentedFrames }) => {
			if (this.#life.signal.aborted) return;
			this.#firstPictureMs ??= expectedDisplayTime - this.#openedAt;
			// The browser counts anew with each source, and calls less often than it shows.
			this.#framesShown += presentedFrames > before ? presentedFrames - before : 1;
			// The clock goes on until the frame is on the screen.
			if (this.#started && !this.#video.seeking) this.#skew.handleShown(this.#position + (expectedDisplayTime - now) * this.#video.playbackRate, mediaTime * 1000 + this.#origin);
			this.#watchFrames(presentedFrames);
		}) ?? 0;
	}

	get #isHeard() {
		return this.#started && !this.#video.muted && !this.#video.paused && this.#tracks.has("audio");
	}

	get #position() {
		return this.#video.currentTime * 1000 + this.#origin;
	}

	get #ranges() {
		const { buffered } = this.#video;
		return Array.from({ length: buffered.length }, (_, i) => ({
			start: buffered.start(i) * 1000 + this.#origin,
			end: buffered.end(i) * 1000 + this.#origin,
		}));
	}
}
