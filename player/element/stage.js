// @ts-check
/** All that is seen of the player: pictures, what is told instead of them, and what can be clicked and typed. */

import { Controls, toggleFullscreen, togglePlay } from "./controls.js";
import { Icon, icon } from "./icons.js";
import { PictureInPicture } from "./pip.js";
import { StatsPanel } from "./stats-panel.js";
import { css } from "./style.css.js";
import { EventName } from "../names.js";

/** @typedef {import("../element.js").HeadwaterPlayer} Player */
/** @typedef {import("./words.js").Words} Words */

/** Controls that nobody touches go away after this, in milliseconds. */
const IDLE_MS = 3000;

const sheet = new CSSStyleSheet();
sheet.replaceSync(css);

/** The stage. */
export class Stage {
	/** What Media Source Extensions play on. */
	video = document.createElement("video");

	#player;
	#handleFloating;
	#canvas = picture(document.createElement("canvas"));
	#stage = document.createElement("div");
	#poster = document.createElement("img");
	#veil = document.createElement("div");
	#start = document.createElement("button");
	#sound = document.createElement("button");
	/** What is seen while the stage is in a window of its own. */
	#away = document.createElement("div");
	#back = document.createElement("button");
	#panel = new StatsPanel();
	/** @type {Controls | undefined} */
	#controls;
	/** @type {Words | undefined} */
	#words;
	#pip;
	/** @type {ReturnType<typeof setTimeout> | undefined} */
	#timer;
	/** What the veil says. */
	#told = "";

	/**
	 * @param {Player} player
	 * @param {ShadowRoot} root
	 * @param {(isFloating: boolean) => void} handleFloating it is in a window of its own now, or no more
	 */
	constructor(player, root, handleFloating) {
		this.#player = player;
		this.#handleFloating = handleFloating;
		root.adoptedStyleSheets = [sheet];
		const { video } = this;
		picture(video).hidden = true;
		video.playsInline = true;
		video.disablePictureInPicture = false;
		this.#poster.className = "poster";
		this.#poster.alt = "";
		this.#poster.setAttribute("part", "poster");
		this.#veil.className = "veil";
		this.#veil.setAttribute("part", "message");
		this.#veil.setAttribute("role", "status");
		this.#addButton(this.#start, "start", Icon.PLAY, () => togglePlay(player));
		// The bar has the same for whoever does not point.
		this.#start.tabIndex = -1;
		this.#start.setAttribute("aria-hidden", "true");
		this.#sound.className = "pill";
		this.#addButton(this.#sound, "sound", Icon.SOUND, () => (player.muted = false));
		this.#stage.className = "stage";
		this.#stage.setAttribute("part", "stage");
		this.#stage.setAttribute("role", "group");
		this.#stage.append(this.#canvas, video, this.#poster, this.#veil, this.#start, this.#panel.root, this.#sound);
		this.#away.className = "veil away";
		this.#away.setAttribute("role", "status");
		this.#away.append(make("strong", "", ""), this.#back);
		this.#back.type = "button";
		this.#back.className = "pill";
		this.#back.addEventListener("click", () => this.closePictureInPicture());
		this.#pip = new PictureInPicture(this.#stage, this.#away, css, () => this.#handlePip());
		this.#listen();
		root.append(this.#stage);
	}

	/**
	 * A canvas that was never given away, and the video.
	 *
	 * @returns {{ canvas: HTMLCanvasElement, video: HTMLVideoElement }}
	 */
	renew() {
		const canvas = picture(document.createElement("canvas"));
		this.#canvas.replaceWith(canvas);
		this.#canvas = canvas;
		return { canvas, video: this.video };
	}

	/** @param {Words} words */
	setWords(words) {
		if (words.language === this.#words?.language) return;
		this.#words = words;
		this.#stage.lang = words.language;
		this.#stage.dir = words.direction;
		this.#stage.setAttribute("aria-label", words.say("player"));
		this.#sound.lastChild?.replaceWith(words.say("sound"));
		this.#away.lang = words.language;
		this.#away.dir = words.direction;
		this.#away.firstChild?.replaceWith(make("strong", "", words.say("elsewhere")));
		this.#back.textContent = words.say("back");
		this.#controls?.root.remove();
		this.#controls = undefined;
		this.#told = "";
		this.update();
	}

	/** Shows how things are. */
	update() {
		const [player, words] = [this.#player, this.#words];
		if (!words) return;
		this.#updateControls(player, words);
		const hasPicture = player.readyState > 1;
		this.#panel.root.hidden = !player.showsStats;
		if (player.stats) this.#panel.update(player.stats, words);
		if (this.#poster.getAttribute("src") !== player.poster) this.#poster.setAttribute("src", player.poster);
		this.#poster.hidden = hasPicture || player.poster === "";
		this.#start.hidden = !player.controls || !player.paused || player.problem !== undefined;
		this.#sound.hidden = !player.isSoundLocked || player.readyState < 2 || player.paused;
		this.#tell(player, words);
		if (player.paused || player.problem) this.#wake();
	}

	get isInPictureInPicture() {
		return this.#pip.isOpen;
	}

	/** @returns {Promise<void>} */
	openPictureInPicture() {
		return this.#pip.open(this.video.hidden ? this.#canvas : this.video);
	}

	/** @returns {Promise<void>} */
	closePictureInPicture() {
		return this.#pip.close();
	}

	/**
	 * @param {Player} player
	 * @param {Words} words
	 */
	#updateControls(player, words) {
		if (player.controls === (this.#controls !== undefined)) return this.#controls?.update();
		if (this.#controls) {
			this.#controls.root.remove();
			this.#controls = undefined;
			this.#stage.removeAttribute("tabindex");
			return;
		}
		this.#controls = new Controls(player, words);
		this.#stage.tabIndex = 0;
		this.#stage.append(this.#controls.root);
	}

	/**
	 * @param {Player} player
	 * @param {Words} words
	 */
	#tell(player, words) {
		const problem = player.problem ?? (player.audioOnly && player.readyState > 2 ? { title: /** @type {const} */ ("audioOnly"), reason: "" } : undefined);
		const told = JSON.stringify(problem ?? null);
		this.#veil.hidden = !problem;
		this.#veil.classList.toggle("over", player.readyState > 0 && !player.audioOnly);
		if (told === this.#told) return;
		this.#told = told;
		this.#veil.replaceChildren();
		if (!problem) return;
		const { title, help, busy, reason } = /** @type {import("./problem.js").Problem & { reason: string }} */ (problem);
		if (busy) this.#veil.append(make("span", "spinner", ""));
		this.#veil.append(make("strong", "", words.say(title)));
		if (help) this.#veil.append(make("p", "", words.say(help, { stream: player.title })));
		if (reason) this.#veil.append(make("span", "reason", reason));
	}

	#handlePip() {
		const { isOpen } = this.#pip;
		this.#handleFloating(isOpen);
		this.#player.dispatchEvent(new CustomEvent(isOpen ? EventName.ENTER_PIP : EventName.LEAVE_PIP));
		this.update();
	}

	#listen() {
		const stage = this.#stage;
		stage.addEventListener("pointermove", ({ pointerType }) => pointerType !== "touch" && this.#wake());
		stage.addEventListener("pointerleave", () => this.#rest());
		stage.addEventListener("focusin", () => this.#wake());
		stage.addEventListener("keydown", (event) => {
			this.#wake();
			this.#controls?.handleKey(event);
		});
		stage.addEventListener("click", (event) => this.#handleClick(/** @type {PointerEvent} */ (event)));
		stage.addEventListener("dblclick", ({ target }) => {
			if (this.#controls && this.#isPicture(target)) toggleFullscreen(this.#player);
		});
	}

	/** @param {PointerEvent} event */
	#handleClick({ target, pointerType, detail }) {
		if (!this.#controls || !this.#isPicture(target)) return;
		if (pointerType === "touch") return this.#stage.classList.contains("idle") ? this.#wake() : this.#rest();
		// The second click of two undoes the first: it wants the whole screen.
		if (detail <= 2) togglePlay(this.#player);
	}

	/** @param {EventTarget | null} target */
	#isPicture(target) {
		return target === this.#stage || target === this.#canvas || target === this.video || target === this.#poster;
	}

	/** Somebody is there. */
	#wake() {
		this.#stage.classList.remove("idle");
		clearTimeout(this.#timer);
		this.#timer = setTimeout(() => this.#rest(), IDLE_MS);
	}

	#rest() {
		const { paused, problem } = this.#player;
		if (!paused && !problem && !this.#controls?.root.matches(":focus-within")) this.#stage.classList.add("idle");
	}

	/**
	 * @param {HTMLButtonElement} button
	 * @param {string} name
	 * @param {string} path
	 * @param {() => unknown} act
	 */
	#addButton(button, name, path, act) {
		button.type = "button";
		button.classList.add(name);
		button.hidden = true;
		button.setAttribute("part", name);
		button.append(icon(path), "");
		button.addEventListener("click", () => {
			act();
			// It goes away, and the focus must not be lost with it.
			this.#stage.focus({ preventScroll: true });
		});
	}
}

/**
 * @template {HTMLElement} T
 * @param {T} screen
 */
function picture(screen) {
	screen.setAttribute("part", "picture");
	return screen;
}

/**
 * @param {string} tag
 * @param {string} className
 * @param {string} text
 */
function make(tag, className, text) {
	const made = document.createElement(tag);
	made.className = className;
	made.textContent = text;
	return made;
}
