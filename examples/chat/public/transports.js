"use strict";
// Four ways to follow a channel. Each takes the place to follow and what to tell, and returns a function that ends it:
//   open()     the server accepted the subscription
//   message(m) { id, channel, text, time, tag }; time and tag of the last one are the cursor to go on from
//   end()      it is over: the connection broke, or the server closed it
// None of them connects again by itself: that is the work of whoever keeps the cursor.

/** How many milliseconds a frame may hear nothing: between two and three times the interval of its pings in the configuration. */
const limits = { silence: 8000 };

/** The address of a subscription: after the cursor where there is one, otherwise with the last `backlog` messages. */
function address(kind, channel, cursor, backlog) {
  const place = cursor ? `?time=${encodeURIComponent(cursor.time)}&tag=${encodeURIComponent(cursor.tag)}` : "";
  return new URL(`/${kind}/${encodeURIComponent(channel)}${cursor ? "" : ".b" + backlog}${place}`, location.href);
}

/** The message if it is one as the templates write it: what a stranger published may break out of them, and is left out. */
function understood(message) {
  const isMessage = message && Number.isSafeInteger(message.id) && typeof message.text === "string" && typeof message.time === "string";
  return isMessage ? message : null;
}

/** The same of a line of JSON. */
function parsed(line) {
  try {
    return understood(JSON.parse(line));
  } catch {
    return null;
  }
}

const transports = {
  ev(channel, cursor, backlog, on) {
    const source = new EventSource(address("ev", channel, cursor, backlog));
    const take = event => { const message = parsed(event.data); if (message) on.message(message); };
    source.onopen = () => on.open();
    source.onmessage = take;
    source.addEventListener("gap", take);
    // The browser would connect to the same address again, and get again what came since.
    source.onerror = () => { source.close(); on.end(); };
    return () => source.close();
  },

  ws(channel, cursor, backlog, on) {
    const url = address("ws", channel, cursor, backlog);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(url);
    socket.onopen = () => on.open();
    socket.onmessage = event => { const message = parsed(event.data); if (message) on.message(message); };
    socket.onclose = () => on.end();
    return () => { socket.onclose = socket.onmessage = socket.onopen = null; socket.close(); };
  },

  lp(channel, cursor, backlog, on) {
    const abort = new AbortController();
    const ask = async () => {
      let place = cursor;
      // A long-poll says nothing until there is something: one that is not refused at once is waiting.
      const waiting = setTimeout(() => on.open(), 300);
      try {
        for (;;) {
          const answer = await fetch(address("lp", channel, place, backlog), { cache: "no-store", signal: abort.signal });
          if (answer.status !== 200 && answer.status !== 304) break;
          const lines = answer.status === 200 ? (await answer.text()).split("\n") : [];
          clearTimeout(waiting);
          on.open();
          // The place of a time-out (304) is the present second, which would repeat what came in it.
          const time = answer.status === 200 && answer.headers.get("Last-Modified");
          if (time) place = { time, tag: (answer.headers.get("Etag") ?? "0").replace("W/", "") };
          for (const line of lines) { const message = parsed(line); if (message) on.message(message, place); }
        }
      } catch (error) {
        if (abort.signal.aborted) return;
      } finally {
        clearTimeout(waiting);
      }
      on.end();
    };
    ask();
    return () => abort.abort();
  },

  iframe(channel, cursor, backlog, on) {
    const frame = document.createElement("iframe");
    // Without allow-same-origin: whatever runs in there can post messages to this page, and nothing else.
    frame.sandbox = "allow-scripts";
    frame.className = "stream";
    frame.title = "Stream of messages";
    frame.src = address("iframe", channel, cursor, backlog);
    let heard = Date.now();
    const take = event => {
      if (event.source !== frame.contentWindow || !event.data || typeof event.data !== "object") return;
      heard = Date.now();
      if (event.data.id === 0) on.open();
      else if (understood(event.data)) on.message(event.data);
    };
    const stop = () => { clearInterval(watch); removeEventListener("message", take); frame.remove(); };
    const end = () => { stop(); on.end(); };
    // A frame whose connection breaks tells nobody: the pings of the server stop, that is all.
    const watch = setInterval(() => { if (Date.now() - heard > limits.silence) end(); }, 500);
    addEventListener("message", take);
    // The document has loaded when the stream has ended as it should.
    frame.onload = end;
    document.body.append(frame);
    return stop;
  },
};
