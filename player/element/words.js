// @ts-check
/**
 * What the player says, in every language it knows: one table, a row a thing. A language that is missing here falls back to
 * English; one that is added needs a column and its place in `LANGUAGES`.
 * @module
 */

/** Columns of the table, in their order. */
export const LANGUAGES = Object.freeze(/** @type {const} */ (["en", "de", "fr", "es", "ar", "ja"]));

/** Those that are written from right to left. @type {readonly string[]} */
const RIGHT_TO_LEFT = Object.freeze(["ar"]);

// `{…}` is filled in.
const TABLE = Object.freeze({
	player: ["Live video player", "Live-Videoplayer", "Lecteur vidéo en direct", "Reproductor de vídeo en directo", "مشغل فيديو مباشر", "ライブ動画プレーヤー"],
	controls: ["Controls", "Bedienelemente", "Commandes", "Controles", "عناصر التحكم", "操作"],
	play: ["Play", "Abspielen", "Lecture", "Reproducir", "تشغيل", "再生"],
	pause: ["Pause", "Pause", "Pause", "Pausa", "إيقاف مؤقت", "一時停止"],
	mute: ["Mute", "Ton aus", "Couper le son", "Silenciar", "كتم الصوت", "ミュート"],
	unmute: ["Unmute", "Ton an", "Rétablir le son", "Activar sonido", "إلغاء الكتم", "ミュート解除"],
	volume: ["Volume", "Lautstärke", "Volume", "Volumen", "مستوى الصوت", "音量"],
	sound: ["Turn sound on", "Ton einschalten", "Activer le son", "Encender el sonido", "شغّل الصوت", "音声をオンにする"],
	fullscreen: ["Full screen", "Vollbild", "Plein écran", "Pantalla completa", "ملء الشاشة", "全画面表示"],
	windowed: ["Leave full screen", "Vollbild verlassen", "Quitter le plein écran", "Salir de pantalla completa", "إنهاء ملء الشاشة", "全画面表示を終了"],
	pip: ["Picture in picture", "Bild im Bild", "Image dans l’image", "Imagen en imagen", "صورة داخل صورة", "ピクチャー イン ピクチャー"],
	elsewhere: ["Playing in a window of its own", "Läuft in einem eigenen Fenster", "Lecture dans une fenêtre séparée", "Se reproduce en otra ventana", "يعمل في نافذة منفصلة", "別のウィンドウで再生中"],
	back: ["Bring it back", "Zurückholen", "Ramener ici", "Traer de vuelta", "إعادته إلى هنا", "ここに戻す"],
	stats: ["Statistics", "Statistik", "Statistiques", "Estadísticas", "إحصاءات", "統計情報"],
	live: ["Live", "Live", "Direct", "En directo", "مباشر", "ライブ"],
	goLive: ["Go live", "Zum Livebild", "Revenir au direct", "Ir al directo", "انتقل إلى البث المباشر", "ライブに戻る"],
	behind: ["{time} behind live", "{time} hinter live", "{time} de retard sur le direct", "{time} de retraso", "متأخر {time} عن البث", "ライブから{time}遅れ"],
	connecting: ["Connecting …", "Verbinde …", "Connexion …", "Conectando …", "جارٍ الاتصال …", "接続中…"],
	reconnecting: ["Connection lost. Trying again …", "Verbindung verloren. Neuer Versuch …", "Connexion perdue. Nouvelle tentative …", "Conexión perdida. Reintentando …", "انقطع الاتصال. إعادة المحاولة …", "接続が切れました。再接続中…"],
	audioOnly: ["Sound only", "Nur Ton", "Son seul", "Solo sonido", "صوت فقط", "音声のみ"],
	offline: ["Nothing is on yet", "Noch läuft hier nichts", "Rien à l’antenne", "Aún no hay emisión", "لا يوجد بث بعد", "まだ配信されていません"],
	offlineHelp: ["{stream} starts here by itself as soon as somebody publishes it.", "{stream} beginnt hier von selbst, sobald jemand sendet.", "{stream} démarrera ici dès que quelqu’un diffusera.", "{stream} empezará aquí en cuanto alguien emita.", "سيبدأ {stream} هنا تلقائيًا بمجرد بثّه.", "{stream} の配信が始まると、ここで自動的に再生されます。"],
	ended: ["The stream has ended", "Der Stream ist zu Ende", "Le direct est terminé", "La emisión ha terminado", "انتهى البث", "配信は終了しました"],
	endedHelp: ["Should it come back, it goes on here by itself.", "Kommt er wieder, geht es hier von selbst weiter.", "S’il reprend, la lecture continuera ici.", "Si vuelve, seguirá aquí por sí sola.", "إذا عاد فسيستمر هنا تلقائيًا.", "再開されると、ここで自動的に再生されます。"],
	quiet: ["The publisher sends nothing just now …", "Vom Sender kommt gerade nichts …", "Rien n’arrive de la source …", "El emisor no envía nada …", "لا يصل شيء من المصدر الآن …", "配信元からデータが届いていません…"],
	refused: ["You may not watch this", "Kein Zugriff auf diesen Stream", "Accès refusé", "No tienes acceso", "غير مسموح بالمشاهدة", "視聴が許可されていません"],
	refusedHelp: ["The link may be incomplete or too old. Ask whoever gave it to you for a new one.", "Der Link ist vielleicht unvollständig oder zu alt. Ein neuer hilft, von dem, der ihn gab.", "Le lien est peut-être incomplet ou expiré. Demandez-en un nouveau.", "El enlace puede estar incompleto o caducado. Pide uno nuevo.", "قد يكون الرابط ناقصًا أو منتهي الصلاحية. اطلب رابطًا جديدًا.", "リンクが不完全か期限切れです。新しいリンクを入手してください。"],
	codec: ["This browser can’t play this stream", "Dieser Browser kann den Stream nicht abspielen", "Ce navigateur ne peut pas lire ce flux", "Este navegador no puede reproducir la emisión", "هذا المتصفح لا يدعم هذا البث", "このブラウザでは再生できません"],
	codecHelp: ["It is in a format that is missing here. Another browser may have it; H.264 with AAC plays everywhere.", "Das Format fehlt hier. Ein anderer Browser kann es vielleicht; H.264 mit AAC läuft überall.", "Le format manque ici. Essayez un autre navigateur ; H.264 avec AAC passe partout.", "Aquí falta el formato. Prueba otro navegador; H.264 con AAC funciona en todos.", "الصيغة غير متوفرة هنا. جرّب متصفحًا آخر؛ H.264 مع AAC يعمل في كل مكان.", "形式に対応していません。別のブラウザをお試しください。H.264とAACはどこでも再生できます。"],
	insecure: ["This page needs HTTPS", "Diese Seite braucht HTTPS", "Cette page exige HTTPS", "Esta página necesita HTTPS", "تتطلب هذه الصفحة HTTPS", "このページにはHTTPSが必要です"],
	insecureHelp: ["Without it, this browser lets no page decode video. Open the same address with https://.", "Ohne lässt dieser Browser keine Seite Video dekodieren. Dieselbe Adresse mit https:// öffnen.", "Sans lui, ce navigateur ne décode pas la vidéo. Ouvrez la même adresse avec https://.", "Sin él, este navegador no descodifica vídeo. Abre la misma dirección con https://.", "بدونه لا يفك هذا المتصفح ترميز الفيديو. افتح العنوان نفسه بـ https://.", "HTTPSなしでは動画を再生できません。同じアドレスを https:// で開いてください。"],
	unreachable: ["The gateway can’t be reached", "Das Gateway ist nicht erreichbar", "Passerelle injoignable", "No se alcanza el servidor", "تعذّر الوصول إلى الخادم", "サーバーに接続できません"],
	unreachableHelp: ["Is the network there, and does it let WebSocket or UDP through? The player keeps trying.", "Ist das Netz da, und lässt es WebSocket oder UDP durch? Der Player versucht es weiter.", "Le réseau est-il là, et laisse-t-il passer WebSocket ou UDP ? Les tentatives continuent.", "¿Hay red, y deja pasar WebSocket o UDP? El reproductor sigue intentándolo.", "هل الشبكة متاحة وتسمح بـ WebSocket أو UDP؟ المحاولات مستمرة.", "ネットワークは WebSocket か UDP を通しますか？再試行を続けています。"],
	source: ["No stream to play", "Kein Stream angegeben", "Aucun flux indiqué", "No hay emisión indicada", "لم يُحدَّد بث", "再生する配信がありません"],
	sourceHelp: ["The player’s src is to be an address like /watch/live/name.", "src muss eine Adresse sein wie /watch/live/name.", "src doit être une adresse comme /watch/live/name.", "src debe ser una dirección como /watch/live/name.", "يجب أن يكون src عنوانًا مثل ‎/watch/live/name.", "src には /watch/live/name のようなアドレスが必要です。"],
	transport: ["Transport", "Transport", "Transport", "Transporte", "النقل", "伝送"],
	decoder: ["Decoder", "Decoder", "Décodeur", "Descodificador", "فك الترميز", "デコーダー"],
	picture: ["Picture", "Bild", "Image", "Imagen", "الصورة", "映像"],
	delay: ["Delay", "Verzögerung", "Retard", "Retraso", "التأخير", "遅延"],
	target: ["Target", "Ziel", "Cible", "Objetivo", "الهدف", "目標"],
	buffer: ["Buffer", "Puffer", "Tampon", "Búfer", "المخزن", "バッファ"],
	roundTrip: ["Round trip", "Umlaufzeit", "Aller-retour", "Ida y vuelta", "زمن الذهاب والإياب", "往復時間"],
	frames: ["Frames shown, dropped", "Bilder gezeigt, verworfen", "Images montrées, perdues", "Cuadros vistos, perdidos", "إطارات معروضة، مُسقطة", "表示・破棄フレーム"],
	skew: ["Sound ahead of picture", "Ton vor Bild", "Avance du son", "Adelanto del sonido", "تقدّم الصوت على الصورة", "音声の先行"],
	lost: ["Given up, ran dry", "Aufgegeben, leergelaufen", "Abandonnés, vides", "Descartados, vacíos", "مُهمَل، نفد", "放棄・途切れ"],
});

/** @typedef {keyof typeof TABLE} Word */

/**
 * The first language of these that is known.
 *
 * @param {readonly string[]} wanted language tags, the one liked best in front
 * @returns {typeof LANGUAGES[number]}
 */
export function chooseLanguage(wanted) {
	const bases = wanted.map((tag) => tag.toLowerCase().split("-")[0]);
	return LANGUAGES.find((language) => language === bases.find((base) => LANGUAGES.some((known) => known === base))) ?? "en";
}

/** What the player says in one language. */
export class Words {
	#column;

	/** @param {typeof LANGUAGES[number]} language */
	constructor(language) {
		this.language = language;
		this.#column = LANGUAGES.indexOf(language);
	}

	/** Which way it is written: `ltr` or `rtl`. */
	get direction() {
		return RIGHT_TO_LEFT.includes(this.language) ? "rtl" : "ltr";
	}

	/**
	 * @param {Word} word
	 * @param {Record<string, string>} [values] what is filled in
	 */
	say(word, values = {}) {
		return TABLE[word][this.#column].replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
	}

	/**
	 * A time in seconds, or milliseconds where it is short.
	 *
	 * @param {number | undefined} ms
	 */
	time(ms) {
		if (ms === undefined) return "–";
		return ms < 1000 ? this.#format("millisecond", ms < 10 ? 1 : 0, ms) : this.#format("second", 1, ms / 1000);
	}

	/** @param {number} number */
	number(number) {
		return new Intl.NumberFormat(this.language).format(number);
	}

	/**
	 * @param {string} unit
	 * @param {number} maximumFractionDigits
	 * @param {number} value
	 */
	#format(unit, maximumFractionDigits, value) {
		return new Intl.NumberFormat(this.language, { style: "unit", unit, maximumFractionDigits }).format(value);
	}
}

/** The table, for the test that it is whole. */
export const TEXTS = TABLE;
