from luxxon_core.cli import main

main()
