{
  description = "Remote-sensing datasets of TIFF patches into one LMDB database of safetensors";

  # Written for nixos-unstable of 2026 (nixos-26.05 and newer): Cython 3.1, libtiff 4.7,
  # python3Packages.click-default-group. Uses nixpkgs' libtiff; nothing is bundled.
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs = { self, nixpkgs }:
    let
      systems = [ "x86_64-linux" "aarch64-linux" "aarch64-darwin" ];
      forEach = f: nixpkgs.lib.genAttrs systems (system: f nixpkgs.legacyPackages.${system});

      # The one place of the version.
      version = builtins.head (builtins.match ".*__version__ = \"([^\"]+)\".*"
        (builtins.readFile ./src/rs_tensor_encoder/__init__.py));

      # Not in nixpkgs: the CMake module that runs Cython.
      cythonCmake = pkgs: ps: ps.buildPythonPackage rec {
        pname = "cython-cmake";
        version = "0.3.0";
        pyproject = true;
        src = pkgs.fetchPypi {
          pname = "cython_cmake";
          inherit version;
          hash = "sha256-H2CR+AA9rxIVkmAe7N20wxgYkjLS01rfloqmCWU6C04=";
        };
        build-system = [ ps.hatchling ps.hatch-vcs ];
        dependencies = [ ps.cython ];
      };

      package = pkgs:
        let ps = pkgs.python3Packages;
        in ps.buildPythonApplication {
          pname = "rs-tensor-encoder";
          inherit version;
          pyproject = true;
          src = self;
          build-system = [ ps.scikit-build-core ps.cython (cythonCmake pkgs ps) ];
          nativeBuildInputs = [ pkgs.cmake pkgs.ninja ];
          dontUseCmakeConfigure = true;
          buildInputs = [ pkgs.libtiff pkgs.libdeflate pkgs.xxHash ];
          dependencies = [
            ps.click
            ps.click-default-group
            ps.google-re2
            ps.imagecodecs
            ps.lmdb
            ps.numpy
            ps.safetensors
            ps.tifffile
            ps.tqdm
            ps.xxhash
          ];
          # The tests need pylibtiff, which nixpkgs lacks: see `checks`.
          doCheck = false;
          pythonImportsCheck = [ "rs_tensor_encoder._tiff" ];
          meta = {
            description = "TIFF patches into one LMDB database of safetensors";
            license = pkgs.lib.licenses.mit;
            mainProgram = "rs-tensor-encoder";
          };
        };
    in
    {
      packages = forEach (pkgs: { default = package pkgs; });

      apps = forEach (pkgs: {
        default = {
          type = "app";
          program = "${package pkgs}/bin/rs-tensor-encoder";
        };
      });

      overlays.default = final: _: { rs-tensor-encoder = package final; };

      # A made-up dataset is encoded, and checked by tifffile.
      checks = forEach (pkgs: {
        default = pkgs.runCommand "rs-tensor-encoder-demo" { } ''
          ${package pkgs}/bin/rs-tensor-encoder demo "$TMPDIR/demo" > $out
        '';
      });

      devShells = forEach (pkgs: {
        default = pkgs.mkShell {
          inputsFrom = [ (package pkgs) ];
          packages = [ pkgs.gnumake pkgs.python3Packages.pytest pkgs.ruff pkgs.mypy ];
        };
      });
    };
}
