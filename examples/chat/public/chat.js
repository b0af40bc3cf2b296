"use strict";
// A chat room on a push server. What others write is only ever set as text, never as HTML.

const BACKLOG = 50, MOST_SHOWN = 500, LONGEST_PAUSE = 15000, PRESENCE_INTERVAL = 5000;
const NAMES = { ev: "EventSource", ws: "WebSocket", lp: "long-polling", iframe: "iframe" };
const $ = id => document.getElementById(id);
const arguments_ = new URLSearchParams(location.search);
const stored = { get: key => { try { return localStorage.getItem(key); } catch { return null; } }, set: (key, value) => { try { localStorage.setItem(key, value); } catch { /* private mode */ } } };

const chat = {
  name: arguments_.get("name") || stored.get("name") || "guest-" + Math.random().toString(36).slice(2, 6),
  room: /^#[\w-]{1,64}$/.test(location.hash) ? location.hash.slice(1) : "lobby",
  transport: transports[arguments_.get("transport")] ? arguments_.get("transport") : stored.get("transport") || "ev",
  me: crypto.getRandomValues(new Uint32Array(2)).join("-"),
  cursor: null, stop: null, failures: 0, retry: 0, last: null, atEnd: true,
};
if (!transports[chat.transport]) chat.transport = "ev";

// --- following

function follow() {
  clearTimeout(chat.retry);
  if (chat.stop) chat.stop();
  state("connecting", chat.failures ? "Connecting again" : "Connecting");
  // What an ended subscription still has to say is for nobody.
  let current = true;
  const stop = transports[chat.transport](chat.room, chat.cursor, BACKLOG, {
    open() {
      if (!current) return;
      chat.failures = 0;
      state("on", NAMES[chat.transport]);
      presence();
    },
    message(message, place) {
      if (!current) return;
      // A message that has no place of its own, such as a ping, leaves the cursor alone.
      if (place) chat.cursor = place;
      else if ((message.id > 0 || message.id === -4) && message.time) chat.cursor = { time: message.time, tag: message.tag };
      receive(message);
    },
    end() {
      if (!current) return;
      current = false;
      chat.stop = null;
      const pause = Math.min(LONGEST_PAUSE, 500 * 2 ** chat.failures++) * (0.75 + Math.random() / 2);
      state(chat.failures > 2 ? "off" : "connecting", chat.failures > 2 ? "No connection" : "Connecting again");
      chat.retry = setTimeout(follow, pause);
    },
  });
  chat.stop = () => { current = false; stop(); };
}

function state(kind, text) {
  if ($("state").dataset.state === kind && $("state-text").textContent === text) return;
  $("state").dataset.state = kind;
  $("state-text").textContent = text;
}

async function presence() {
  clearTimeout(chat.asking);
  chat.asking = setTimeout(presence, PRESENCE_INTERVAL);
  if (document.hidden) return;
  try {
    const answer = await fetch("/channels-stats?id=" + encodeURIComponent(chat.room), { cache: "no-store" });
    const count = answer.ok ? (await answer.json()).subscribers : undefined;
    $("people").hidden = !count;
    if (count) $("people").textContent = count === 1 ? "only you are here" : `${count} are here`;
  } catch {
    $("people").hidden = true;
  }
}

// --- messages

/** { name, text, from } of what the page published; of anything else the text as it is. */
function opened(text) {
  try {
    const value = JSON.parse(decodeURIComponent(text));
    if (typeof value.text === "string" && typeof value.name === "string") return value;
  } catch { /* published by something else, such as curl */ }
  return { name: null, text: String(text ?? ""), from: null };
}

/** Percent-encoded, so that it can stand in JSON, in a script and in a header line alike. */
function closed(value) {
  return encodeURIComponent(JSON.stringify(value)).replace(/[!'()*]/g, sign => "%" + sign.charCodeAt(0).toString(16).toUpperCase());
}

function receive(message) {
  if (message.id > 0) return show(message);
  if (message.id === -2) return note("The room was closed; what was said is gone.");
  if (message.id === -4) return note(`${message.missed ?? "Some"} earlier messages are no longer kept`, "gap");
}

function element(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
}

function append(item) {
  const list = $("messages");
  $("empty").hidden = true;
  list.append(item);
  while (list.children.length > MOST_SHOWN) list.firstElementChild.remove();
  if (chat.atEnd || item.classList.contains("mine")) toNewest(); else $("newest").hidden = false;
}

function note(text, kind = "") {
  chat.last = null;
  append(element("li", "note " + kind, text));
}

function show(message) {
  const { name, text, from } = opened(message.text), when = new Date(message.time);
  const day = isNaN(when) ? "" : when.toLocaleDateString(undefined, { weekday: "long", day: "numeric", month: "long" });
  if (day && day !== chat.day) {
    if (chat.day) append(element("li", "day", day));
    chat.day = day;
    chat.last = null;
  }
  const who = from ?? name ?? "", item = element("li", "message");
  const isFirst = !chat.last || chat.last.who !== who || chat.last.name !== name || when - chat.last.when > 300000;
  item.classList.toggle("mine", from === chat.me);
  item.classList.toggle("first", isFirst);
  item.dataset.id = message.id;
  item.style.setProperty("--hue", hue(name ?? ""));
  const by = element("p", "by");
  by.append(name === null ? element("b", "unnamed", "without a name") : element("b", "", name.slice(0, 40)));
  if (!isNaN(when)) {
    const time = element("time", "", when.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" }));
    time.dateTime = when.toISOString();
    by.append(time);
  }
  item.append(by, element("p", "body", text));
  chat.last = { who, name, when };
  append(item);
}

function hue(name) {
  let sum = 0;
  for (const sign of name) sum = (sum * 31 + sign.codePointAt(0)) % 9973;
  return (sum * 137) % 360;
}

function toNewest() {
  $("messages").scrollTop = $("messages").scrollHeight;
  chat.atEnd = true;
  $("newest").hidden = true;
}

// --- writing

async function publish(text) {
  const answer = await fetch("/pub?id=" + encodeURIComponent(chat.room), { method: "POST", body: closed({ name: chat.name, text, from: chat.me }) });
  if (answer.ok) return;
  const reason = answer.headers.get("X-Nginx-PushStream-Explain");
  throw new Error(answer.status === 413 ? "it is too long" : reason || `the server answered ${answer.status}`);
}

function problem(text) {
  $("problem").textContent = text;
  $("problem").hidden = !text;
}

function grow() {
  $("text").style.height = "auto";
  $("text").style.height = Math.min($("text").scrollHeight + 2, 144) + "px";
}

$("send").onsubmit = async event => {
  event.preventDefault();
  const text = $("text").value.trim(), button = $("send").querySelector("button");
  if (!text || button.disabled) return;
  button.disabled = true;
  try {
    await publish(text);
    // What was typed meanwhile stays.
    if ($("text").value.trim() === text) $("text").value = "";
    problem("");
    grow();
  } catch (error) {
    problem(`Not sent: ${error instanceof TypeError ? "no connection" : error.message}. Your message is still here.`);
  }
  button.disabled = false;
  $("text").focus();
};
$("text").oninput = grow;
$("text").onkeydown = event => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("send").requestSubmit();
};

// --- settings

function settings(open) {
  $("settings").hidden = !open;
  $("toggle").setAttribute("aria-expanded", open);
  if (open) $("name").focus(); else $("text").focus();
}

function join(room) {
  if (room !== chat.room) {
    $("messages").replaceChildren();
    $("empty").hidden = false;
    $("people").hidden = true;
    chat.cursor = chat.last = chat.day = null;
  }
  chat.room = room;
  chat.failures = 0;
  $("title").textContent = $("room").value = room;
  document.title = `#${room} · Chat`;
  follow();
}

$("toggle").onclick = () => settings($("settings").hidden);
$("settings").onkeydown = event => { if (event.key === "Escape") { settings(false); $("toggle").focus(); } };
$("settings").onsubmit = event => {
  event.preventDefault();
  chat.name = $("name").value.trim() || chat.name;
  chat.transport = $("transport").value;
  stored.set("name", chat.name);
  stored.set("transport", chat.transport);
  settings(false);
  history.replaceState(null, "", "#" + $("room").value);
  join($("room").value);
};
$("newest").onclick = toNewest;
$("messages").onscroll = () => {
  const list = $("messages");
  chat.atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
  if (chat.atEnd) $("newest").hidden = true;
};
addEventListener("hashchange", () => { if (/^#[\w-]{1,64}$/.test(location.hash)) join(location.hash.slice(1)); });
addEventListener("online", () => { chat.failures = 0; follow(); });
// The keyboard of a phone and the settings take room away: who saw the newest message goes on seeing it.
new ResizeObserver(() => { if (chat.atEnd) toNewest(); }).observe($("messages"));

$("name").value = chat.name;
$("transport").value = chat.transport;
stored.set("name", chat.name);
// Not before the page has loaded: a frame that streams would keep it loading for ever.
if (document.readyState === "complete") join(chat.room); else addEventListener("load", () => join(chat.room));
