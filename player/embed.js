// @ts-check
/** The player and nothing else, for frames: `/embed/app/name?muted&transport=…`. */

import "./element.js";
import { chooseLanguage } from "./element/words.js";
import { Attribute } from "./names.js";
import { byId, createPlayer, readAddress } from "./page.js";

const { SRC: _, AUTOPLAY, CONTROLS, TOKEN: __, ...own } = Attribute;
const { src, settings, app, name } = readAddress(Object.values(own));
document.documentElement.lang = chooseLanguage(navigator.languages);
document.title = `${app}/${name}`;
byId("title").textContent = document.title;
byId("player").append(createPlayer(src, [...settings, [CONTROLS, ""], [AUTOPLAY, ""]]));
