// Keys of people: this script has the browser make one, or sign the digest of the statement that the page shows, and puts what
// comes of it into the page's form. It decides nothing and has no words of its own: they are in the page. Without it, the page
// says what else to do.
"use strict";
(() => {
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const able = Boolean(window.PublicKeyCredential && navigator.credentials);
  const listed = (ids) => ids.split(" ").filter(Boolean).map((id) => ({ type: "public-key", id: bytes(id) }));

  const sign = async (form) => {
    const made = await navigator.credentials.get({ publicKey: {
      challenge: bytes(form.dataset.challenge), rpId: form.dataset.party, allowCredentials: listed(form.dataset.credentials),
      userVerification: "required", timeout: 300000 } });
    return { credential: text(made.rawId), authenticator: text(made.response.authenticatorData),
      client: text(made.response.clientDataJSON), signature: text(made.response.signature) };
  };

  const enrol = async (form) => {
    const made = await navigator.credentials.create({ publicKey: {
      challenge: bytes(form.dataset.challenge), rp: { id: form.dataset.party, name: form.dataset.name },
      user: { id: bytes(form.dataset.user), name: form.dataset.account, displayName: form.dataset.account },
      pubKeyCredParams: [-8, -7, -257].map((alg) => ({ type: "public-key", alg })), excludeCredentials: listed(form.dataset.exclude),
      authenticatorSelection: { residentKey: "preferred", userVerification: "required" }, attestation: "none", timeout: 300000 } });
    return { attestation: JSON.stringify({ id: made.id, rawId: text(made.rawId), type: made.type, response: {
      clientDataJSON: text(made.response.clientDataJSON), attestationObject: text(made.response.attestationObject) } }) };
  };

  document.querySelectorAll("form[data-keys]").forEach((form) => {
    const elsewhere = form.dataset.origin !== location.origin;
    form.querySelectorAll("[data-elsewhere]").forEach((e) => { e.hidden = !elsewhere; });
    if (!able || elsewhere) return;
    form.querySelectorAll("[data-without]").forEach((e) => { e.hidden = true; });
    form.querySelectorAll("[data-with]").forEach((e) => { e.hidden = false; });
    const failed = (name) => {
      const all = [...form.querySelectorAll("[data-failed]")];
      const shown = name && (all.find((e) => e.dataset.failed === name) || all.find((e) => e.dataset.failed === ""));
      all.forEach((e) => { e.hidden = e !== shown; });
    };
    let busy = false;
    form.addEventListener("submit", async (event) => {
      if (event.submitter && !event.submitter.hasAttribute("data-with")) return; // a button that wants no key
      event.preventDefault();
      if (busy) return;
      busy = true;
      failed("");
      try {
        const made = await (form.dataset.keys === "enrol" ? enrol(form) : sign(form));
        for (const [name, value] of Object.entries(made)) form.elements[name].value = value;
        form.submit();
      } catch (why) {
        failed(why.name || "Error");
        busy = false;
      }
    });
  });
})();
