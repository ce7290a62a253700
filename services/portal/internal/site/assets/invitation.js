// The secret of an invitation's link is behind the "#", which no server sees. This script carries it through the sign-in, in this
// tab only, and puts it into the page's form. It also copies a link that was just made. Everything works without it: the link can
// be pasted, and copied by hand. It has no words of its own: they are in the page.
"use strict";
(() => {
  const kept = "lockbox-invitation";
  const take = () => {
    if (!/^#[\w-]{43}$/.test(location.hash)) return false;
    sessionStorage.setItem(kept, location.hash.slice(1));
    history.replaceState(null, "", location.pathname + location.search);
    return true;
  };
  take();
  window.addEventListener("hashchange", () => take() && location.replace(location.pathname)); // another link, on this page
  const field = document.querySelector("input[data-link]");
  if (field && sessionStorage.getItem(kept)) {
    field.value = sessionStorage.getItem(kept);
    sessionStorage.removeItem(kept);
  }
  document.querySelectorAll("button[data-copy]").forEach((button) => {
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).value);
      button.textContent = button.dataset.copied;
    });
  });
})();
