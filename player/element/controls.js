// @ts-check
/** The player's own controls. They do what any page could do by the element's properties and methods, and no more. */

import { Icon, icon, setIcon } from "./icons.js";
import { hasPictureInPicture } from "./pip.js";

/** @typedef {import("../element.js").HeadwaterPlayer} Player */
/** @typedef {import("./words.js").Words} Words */
/** @typedef {import("./words.js").Word} Word */

/** A viewer this much further behind than the player wants to be is not live, in milliseconds. */
const LIVE_MS = 1500;
const VOLUME_STEP = 0.1;

/** What keys do, but for those that a control wants for itself. @type {Record<string, (player: Player) => unknown>} */
const KEYS = Object.freeze({
	" ": togglePlay,
	k: togglePlay,
	m: (player) => (player.muted = !player.muted),
	f: toggleFullscreen,
	i: (player) => (player.showsStats = !player.showsStats),
	p: togglePictureInPicture,
	l: (player) => player.goLive(),
	ArrowUp: (player) => changeVolume(player, VOLUME_STEP),
	ArrowDown: (player) => changeVolume(player, -VOLUME_STEP),
});

/** The bar. */
export class Controls {
	/** What is put onto the player. */
	root = document.createElement("div");

	#player;
	#words;
	/** @type {ReturnType<typeof button>[]} */
	#buttons = [];
	#play;
	#mute;
	#volume = document.createElement("input");
	#live = document.createElement("button");
	#delay = document.createElement("span");
	#stats;
	#pip;
	#fullscreen;

	/**
	 * @param {Player} player
	 * @param {Words} words
	 */
	constructor(player, words) {
		this.#player = player;
		this.#words = words;
		this.root.className = "bar";
		this.root.setAttribute("part", "controls");
		this.root.setAttribute("role", "group");
		this.root.setAttribute("aria-label", words.say("controls"));
		this.#play = this.#add("play", () => togglePlay(player));
		this.#mute = this.#add("mute", () => (player.muted = !player.muted));
		this.#addVolume();
		this.#addLive();
		this.#stats = this.#add("stats", () => (player.showsStats = !player.showsStats));
		this.#pip = hasPictureInPicture() ? this.#add("pip", () => togglePictureInPicture(player)) : undefined;
		this.#fullscreen = document.fullscreenEnabled ? this.#add("fullscreen", () => toggleFullscreen(player)) : undefined;
		this.update();
	}

	/** Shows how things are. */
	update() {
		const player = this.#player;
		const silent = player.muted || player.volume === 0;
		this.#show(this.#play, player.paused ? "play" : "pause", player.paused ? Icon.PLAY : Icon.PAUSE);
		this.#show(this.#mute, player.muted ? "unmute" : "mute", silent ? Icon.MUTED : Icon.SOUND);
		this.#show(this.#stats, "stats", Icon.STATS, player.showsStats);
		if (this.#pip) this.#show(this.#pip, "pip", Icon.PIP, player.isInPictureInPicture);
		if (this.#fullscreen) {
			const isFull = isFullscreen(player);
			this.#fullscreen.root.hidden = player.isInPictureInPicture;
			this.#show(this.#fullscreen, isFull ? "windowed" : "fullscreen", isFull ? Icon.WINDOWED : Icon.FULLSCREEN);
		}
		const percent = String(Math.round((player.muted ? 0 : player.volume) * 100));
		this.#volume.value = percent;
		this.#volume.setAttribute("aria-valuetext", new Intl.NumberFormat(this.#words.language, { style: "percent" }).format(Number(percent) / 100));
		this.#volume.style.setProperty("--value", `${percent}%`);
		this.#updateLive();
	}

	/**
	 * Does what a key asks for.
	 *
	 * @param {KeyboardEvent} event
	 */
	handleKey(event) {
		const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
		const target = event.composedPath()[0];
		const isTaken = (target instanceof HTMLButtonElement && event.key === " ") || (target instanceof HTMLInputElement && event.key.startsWith("Arrow"));
		if (!action || isTaken || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
		event.preventDefault();
		if (!event.repeat || event.key.startsWith("Arrow")) action(this.#player);
	}

	#updateLive() {
		const { delay, targetDelay, paused, readyState } = this.#player;
		const isOn = readyState > 2 && !paused;
		const isLive = isOn && !(delay > targetDelay + LIVE_MS);
		this.#live.classList.toggle("on", isLive);
		const words = this.#words;
		this.#delay.textContent = isOn && !Number.isNaN(delay) ? words.time(round(delay)) : "";
		// What it is called is what it reads.
		this.#live.title = isLive ? words.say("behind", { time: this.#delay.textContent }) : words.say("goLive");
	}

	#addVolume() {
		const { root } = this;
		const range = this.#volume;
		Object.assign(range, { type: "range", min: "0", max: "100", step: "5", className: "volume" });
		range.setAttribute("part", "volume");
		range.setAttribute("aria-label", this.#words.say("volume"));
		range.addEventListener("input", () => setVolume(this.#player, range.valueAsNumber / 100));
		root.append(range);
	}

	#addLive() {
		const label = document.createElement("span");
		label.textContent = this.#words.say("live");
		this.#live.type = "button";
		this.#live.className = "live";
		this.#live.setAttribute("part", "live");
		this.#delay.className = "delay";
		this.#live.append(label, this.#delay);
		this.#live.addEventListener("click", () => this.#player.goLive());
		const gap = document.createElement("span");
		gap.className = "gap";
		this.root.append(this.#live, gap);
	}

	/**
	 * @param {string} part
	 * @param {() => unknown} act
	 */
	#add(part, act) {
		const made = button(part, act);
		this.#buttons.push(made);
		this.root.append(made.root);
		return made;
	}

	/**
	 * @param {ReturnType<typeof button>} button
	 * @param {Word} word
	 * @param {string} path
	 * @param {boolean} [pressed]
	 */
	#show({ root, picture }, word, path, pressed) {
		setIcon(picture, path);
		setName(root, this.#words.say(word));
		root.title = this.#words.say(word);
		if (pressed !== undefined) root.setAttribute("aria-pressed", String(pressed));
	}
}

/** @param {Player} player */
export function togglePlay(player) {
	if (player.paused) player.play();
	else player.pause();
}

/** @param {Player} player */
export function toggleFullscreen(player) {
	if (isFullscreen(player)) document.exitFullscreen();
	else if (!player.isInPictureInPicture) player.requestFullscreen?.().catch(() => {});
}

/** @param {Player} player */
function togglePictureInPicture(player) {
	if (player.isInPictureInPicture) player.exitPictureInPicture();
	else if (hasPictureInPicture()) player.requestPictureInPicture().catch(() => {});
}

/** @param {Player} player */
function isFullscreen(player) {
	return player.matches(":fullscreen");
}

/**
 * @param {Player} player
 * @param {number} step
 */
function changeVolume(player, step) {
	setVolume(player, Math.min(Math.max((player.muted ? 0 : player.volume) + step, 0), 1));
}

/**
 * @param {Player} player
 * @param {number} volume
 */
function setVolume(player, volume) {
	player.volume = Math.round(volume * 100) / 100;
	player.muted = volume === 0;
}

/**
 * What a person reads: tens of milliseconds flicker.
 *
 * @param {number} ms
 */
function round(ms) {
	return ms < 1000 ? Math.round(ms / 10) * 10 : ms;
}

/**
 * @param {string} part
 * @param {() => unknown} act
 */
function button(part, act) {
	const root = document.createElement("button");
	root.type = "button";
	root.setAttribute("part", `button ${part}`);
	const picture = icon("");
	root.append(picture);
	root.addEventListener("click", act);
	return { root, picture };
}

/**
 * @param {HTMLElement} element
 * @param {string} name
 */
function setName(element, name) {
	if (element.getAttribute("aria-label") !== name) element.setAttribute("aria-label", name);
}
