// Shows the API's description. Signed-in readers try it out with their session, all others with an API key.
(() => {
  const root = document.documentElement;
  const place = document.getElementById("docs");
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => root.classList.toggle("dark-mode", root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches);
  follow();
  prefersDark.addEventListener("change", follow);
  new MutationObserver(follow).observe(root, { attributeFilter: ["data-theme"] });

  SwaggerUIBundle({
    url: place.dataset.schema,
    domNode: place,
    deepLinking: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    requestInterceptor: request => {
      // A session alone is not enough for what changes something: the page must prove that it is ours.
      if (new URL(request.url, location.href).origin === location.origin) request.headers["X-CSRFToken"] = place.dataset.csrf;
      return request;
    },
  });
})();
