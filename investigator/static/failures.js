// Marks elements whose file could not be loaded, for who comes to wait for them later.
addEventListener("error", (event) => { if (event.target instanceof HTMLElement) event.target.dataset.failed = "true"; }, true);
