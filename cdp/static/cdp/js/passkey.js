// Asks the browser for a passkey, to make one or to sign with one, and sends what it answers with the form.
(() => {
  const form = document.querySelector("form[data-passkey]");
  if (!form) return;
  const options = JSON.parse(document.getElementById("passkey-options").textContent).publicKey;
  const complaint = form.querySelector("[data-passkey-error]");

  function say(words) {
    complaint.querySelector("span").textContent = words;
    complaint.hidden = false;
  }

  async function ask() {
    if (form.dataset.passkey === "create") {
      return navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) });
    }
    return navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
  }

  form.addEventListener("submit", async event => {
    if (form.elements.passkey.value) return;
    event.preventDefault();
    complaint.hidden = true;
    if (!window.PublicKeyCredential?.parseCreationOptionsFromJSON) {
      say("This browser has no passkeys here: they need a newer one, and an address with https.");
      return;
    }
    try {
      form.elements.passkey.value = JSON.stringify((await ask()).toJSON());
    } catch (error) {
      say(error.name === "InvalidStateError" ? "This device has a passkey for your account already." : "No passkey was given. Try again.");
      return;
    }
    HTMLFormElement.prototype.submit.call(form);
  });
})();
