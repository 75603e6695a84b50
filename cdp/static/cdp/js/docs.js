// Shows the API's description. Signed-in readers try it out with their session, all others with an API key.
(() => {
  const root = document.documentElement;
  const place = document.getElementById("docs");
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => root.classList.toggle("dark-mode", root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches);
  follow();
  prefersDark.addEventListener("change", follow);
  new MutationObserver(follow).observe(root, { attributeFilter: ["data-theme"] });

  const show = spec => {
    // Swagger UI unfolds references before it draws, which in a language as deep as that of rules never ends.
    // The page shows an example instead; the document and the rule schema have all of it.
    const rule = spec.components.schemas.Rule;
    spec.components.schemas.Rule = { type: "object", title: rule.title, description: rule.description, examples: rule.examples };
    SwaggerUIBundle({
      spec,
      domNode: place,
      deepLinking: true,
      // Drawn when somebody opens it: all operations at once take a browser seconds.
      docExpansion: "none",
      filter: true,
      defaultModelsExpandDepth: -1,
      requestInterceptor: request => {
        // A session alone is not enough for what changes something: the page must prove that it is ours.
        if (new URL(request.url, location.href).origin === location.origin) request.headers["X-CSRFToken"] = place.dataset.csrf;
        return request;
      },
    });
  };
  fetch(place.dataset.schema, { headers: { Accept: "application/json" } })
    .then(response => response.ok ? response.json() : Promise.reject(new Error(`status ${response.status}`)))
    .then(show)
    .catch(error => { place.textContent = `The description of the API could not be loaded (${error.message}).`; });
})();
