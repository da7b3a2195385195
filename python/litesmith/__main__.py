from litesmith._command import main

main()
