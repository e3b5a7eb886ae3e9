// The beginning: a session or the login, the socket, the frame of the page, the view that the address names.

import { onLanguage } from './base/i18n.js';
import { onRoute, route } from './base/router.js';
import { isLoggedIn, onSession } from './base/session.js';
import { open, start, stop } from './live/socket.js';
import { forgetAll, hear, readInstances } from './live/store.js';
import { changed } from './live/topics.js';
import { loginPage, loginOver } from './views/login.js';
import { shell } from './views/shell.js';
import { put } from './base/dom.js';
import { dropDrafts } from './views/drafts.js';

const app = document.getElementById('app');
let frame = null;
let over = null;

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
    open();
    if (over) {
      // The view stood still behind the login: nothing that was typed is lost.
      over.close();
      over = null;
      changed('resync');
      readInstances();
    } else draw();
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
