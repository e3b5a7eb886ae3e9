// The beginning: a session or the login, the socket, the frame of the page, the view that the address names.

import { onLanguage } from './base/i18n.js';
import { onRoute, route } from './base/router.js';
import { isLoggedIn, onSession, user } from './base/session.js';
import { open, start, stop } from './live/socket.js';
import { forgetAll, hear, readInstances } from './live/store.js';
import { changed } from './live/topics.js';
import { loginPage, loginOver } from './views/login.js';
import { shell } from './views/shell.js';
import { put } from './base/dom.js';
import { dropDrafts } from './base/drafts.js';

const app = document.getElementById('app');
let frame = null;
let over = null;
/** Whose page this is: another person's must not show what this one typed. */
let owner = user()?.username;

function draw() {
  frame?.close();
  frame = null;
  if (!isLoggedIn()) {
    put(app, loginPage());
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
    over?.close();
    if (over && isSame) {
      // The view stood still behind the login: nothing that was typed is lost.
      changed('resync');
      readInstances();
    } else {
      forgetAll();
      dropDrafts();
      draw();
    }
    over = null;
  } else {
    stop();
    if (change === 'expired' && frame) {
      over ??= loginOver();
    } else {
      over?.close();
      over = null;
      forgetAll();
      dropDrafts();
      draw();
    }
  }
});

draw();
start(hear);
if (isLoggedIn()) readInstances();
