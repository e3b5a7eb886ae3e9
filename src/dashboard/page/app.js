// Entry point: shows the login or the shell with the view of the current route, and starts the WebSocket.

import { onLanguage } from './base/i18n.js';
import { onRoute, route } from './base/router.js';
import { isLoggedIn, onSession, user } from './base/session.js';
import { open, start, stop } from './live/socket.js';
import { onMessage, readInstances, reset } from './live/store.js';
import { publish } from './live/pub-sub.js';
import { loginPage, loginDialog } from './views/login.js';
import { shell } from './views/shell.js';
import { setChildren } from './base/dom.js';
import { dropDrafts } from './base/drafts.js';

const app = document.getElementById('app');
let frame = null;
let loginOverlay = null;
/** User whose drafts and data the page holds. They are dropped when another user logs in. */
let owner = user()?.username;

function draw() {
  frame?.close();
  frame = null;
  if (!isLoggedIn()) {
    setChildren(app, loginPage());
    return;
  }
  frame = shell(app);
  frame.show(route());
}

onRoute(() => frame?.show(route()));
onLanguage(draw);
onSession((change) => {
  if (change === 'in') {
    const isSame = owner === user()?.username;
    owner = user()?.username;
    open();
    loginOverlay?.close();
    if (loginOverlay && isSame) {
      // The view stayed open behind the login, so refresh it in place and keep what was typed.
      publish('resync');
      readInstances();
    } else {
      reset();
      dropDrafts();
      draw();
    }
    loginOverlay = null;
  } else {
    stop();
    if (change === 'expired' && frame) {
      loginOverlay ??= loginDialog();
    } else {
      loginOverlay?.close();
      loginOverlay = null;
      reset();
      dropDrafts();
      draw();
    }
  }
});

draw();
start(onMessage);
if (isLoggedIn()) readInstances();
